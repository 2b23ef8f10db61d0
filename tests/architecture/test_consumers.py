"""Every published fact is known to every consumer that reads its topic: one that it does not list would halt it."""

import importlib
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from infra import topics
from infra.database import SERVICES
from kernel.facts import FactType
from kernel.metrics import Metrics
from kernel.process import Role
from kernel.service import ForeignFacts, Parts, Work
from tests.architecture import protos

FACT_TYPES = protos.fact_types()
TOPICS = {topic.name: topic for topic in topics.load()}


@asynccontextmanager
async def wired(service: str, database_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Work]:
    """What the service's own wiring puts together, without running it."""
    found: list[tuple[Parts, Work]] = []

    def keep(parts: Parts, _: Collection[str], work: Work) -> list[Role]:
        found.append((parts, work))
        return []

    monkeypatch.setattr(Parts, "roles", keep)
    wiring = importlib.import_module(f"services.{service}.wiring")
    settings = importlib.import_module(f"services.{service}.settings").Settings(
        database_url=database_url,
        kafka="127.0.0.1:1",
        cell="main",
        jwks=str(Path(__file__)),
        issuer="nobody",
        audience="nobody",
        age_issuer="nobody",
        age_audience="nobody",
        age_jwks=str(Path(__file__)),
    )
    await wiring.wire(settings, Metrics(CollectorRegistry()), ("lanes", "reactions"))
    ((parts, work),) = found
    try:
        yield work
    finally:
        await parts.queries.close()
        await parts.store.close()


def unlisted(foreign: ForeignFacts, fact_types: Collection[FactType]) -> set[str]:
    """Returns the types on the consumer's topics that it neither handles nor ignores."""
    listed = {message.DESCRIPTOR.full_name for message in foreign.ignores}
    handled = {each.fact.DESCRIPTOR.full_name for each in foreign.reactions}
    read = {each.topic for each in fact_types if each.name in handled}
    return {each.name for each in fact_types if each.topic and each.topic in read} - handled - listed


@pytest.mark.parametrize("service", SERVICES)
async def test_every_published_fact_is_handled_or_ignored_by_every_consumer_of_its_topic(
    service: str, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with wired(service, database_url, monkeypatch) as work:
        missing = {foreign.consumer: unlisted(foreign, FACT_TYPES) for foreign in work.foreign}
        assert missing == {foreign.consumer: set() for foreign in work.foreign}
        names = {each.fact.DESCRIPTOR.full_name for foreign in work.foreign for each in foreign.reactions}
        read = {each.topic for each in FACT_TYPES if each.name in names}
        declared = {name for name, topic in TOPICS.items() if service in {c.replace("-", "_") for c in topic.consumers}}
        assert read == declared, "infra/topics.yaml says who reads what"


async def test_a_new_published_type_is_found(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with wired("messaging", database_url, monkeypatch) as work:
        (lanes,) = work.foreign
        fewer = ForeignFacts(lanes.consumer, lanes.reactions[1:], lanes.ignores)
        assert unlisted(fewer, FACT_TYPES) == {lanes.reactions[0].fact.DESCRIPTOR.full_name}
