"""A reaction that reads rows waits until they are there, and its role goes on; and a role does not look for nothing."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from holdspace.kernel.v1.envelope_pb2 import Envelope
from holdspace.kernel.v1.gate_pb2 import GateCopied, Phase
from holdspace.moderation.v1.events_pb2 import ClientSuspended
from infra.database import prepare
from kernel.background import AtMostEvery
from kernel.errors import StoreUnavailable
from kernel.own_facts import OwnFact
from kernel.queries import Queries
from kernel.rebuild import ensure, reader
from services.messaging.messages import Messages
from services.messaging.projections import READ_MODEL
from services.messaging.reactions import hold_back_or_give_back
from services.messaging.wiring import MESSAGING

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
POSITION = 7


def a_suspension() -> OwnFact:
    copied = GateCopied(
        gate="standing",
        subject="client-1",
        source_type=ClientSuspended.DESCRIPTOR.full_name,
        phases=[Phase(state="SUSPENDED", closed=True)],
    )
    copied.decided_at.FromDatetime(NOW)
    return OwnFact(POSITION, "gate-standing-client-1", 1, NOW, Envelope(), copied)


def messages(queries: Queries) -> Messages:
    return Messages(queries, MESSAGING.own_facts)


@pytest.fixture
async def queries(database_url: str) -> AsyncIterator[Queries]:
    """Of messaging, whose read model is empty and at the beginning."""
    await prepare(database_url)  # What a role may do in a database does not come with its template.
    await ensure(database_url, "messaging", READ_MODEL, MESSAGING.own_facts)
    opened = Queries(database_url, "messaging", MESSAGING.queries)
    await opened.open()
    yield opened
    await opened.close()


@pytest.mark.rule("MO5")
async def test_what_slipped_in_is_looked_for_once_the_read_model_has_reached_the_suspension(
    queries: Queries, database_url: str
) -> None:
    reacting = asyncio.create_task(hold_back_or_give_back(queries, messages(queries), a_suspension(), NOW))
    await asyncio.sleep(0.1)
    assert not reacting.done()

    projection = await reader(database_url, "messaging", "messaging_read")
    await projection.execute("update read_model_checkpoint set position = $1", POSITION)
    await projection.close()

    assert list(await reacting) == []


async def test_a_reaction_gives_up_on_a_read_model_that_stays_behind(
    queries: Queries, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kernel.queries.REACTION_SECONDS_MAX", 0.05)
    with pytest.raises(StoreUnavailable):
        await hold_back_or_give_back(queries, messages(queries), a_suspension(), NOW)


class Steps:
    """As many pieces of work as are given, and how often it was asked for one."""

    def __init__(self, work: int) -> None:
        self.work = work
        self.asked = 0

    async def step(self) -> bool:
        self.asked += 1
        self.work -= 1
        return self.work >= 0


async def test_work_is_done_without_a_pause_and_only_then_looked_for_less_often() -> None:
    steps = Steps(work=2)
    seldom = AtMostEvery(steps, 60.0)
    told: list[Any] = [await seldom.step() for _ in range(5)]
    assert told == [True, True, False, False, False]
    assert steps.asked == 3
