"""Moderation as one process, other services as their topics, and the words its calls are made of."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import Message

from holdspace.messaging.v1 import events_pb2 as messaging_events
from holdspace.messaging.v1.events_pb2 import ConversationOpened
from holdspace.moderation.v1.events_pb2 import (
    SEVERITY_SPAM,
)
from holdspace.moderation.v1.service_pb2 import (
    GetClientStandingRequest,
    ListReportsRequest,
    Report,
    ReportClientRequest,
)
from holdspace.moderation.v1.service_pb2_grpc import ModerationServiceStub
from holdspace.scheduling.v1 import events_pb2 as scheduling_events
from holdspace.scheduling.v1.events_pb2 import TherapistEnrolled
from infra.local.servers import Servers
from kernel.facts import FactTypes, Origin, open_envelope, timestamp
from kernel.gates import phase
from kernel.relay.headers import Headers
from kernel.store.connections import connect
from services.moderation.domain.policy import DEFAULT
from tests.calls import fresh
from tests.integration.published import Written, publish
from tests.running import ServiceProcess

RIGHTS = ("moderation.report", "moderation.decide", "moderation.read")
POLICY = DEFAULT.version
MESSAGING_TOPIC, ENROLMENT_TOPIC = "holdspace.messaging.v1", "holdspace.enrolment.v1"


@pytest.fixture(scope="module")
def moderation(
    servers: Servers, module_database_url: str, credentials: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServiceProcess]:
    folder = tmp_path_factory.mktemp("moderation")
    process = ServiceProcess("moderation", servers, module_database_url, credentials, folder)
    yield process.start()
    assert process.stop() == 0, process.log.read_text()[-2000:]


@pytest.fixture
async def stub(moderation: ServiceProcess) -> AsyncIterator[Any]:
    async with moderation.channel(*RIGHTS) as open_channel:
        yield ModerationServiceStub(open_channel)


class Elsewhere:
    """The other services, as far as moderation meets them: facts on their topics, in the order of one store each."""

    def __init__(self, kafka: str) -> None:
        self._kafka = kafka
        self._types = FactTypes(messaging_events, scheduling_events)
        self._positions = count(1)
        self._cell = fresh()

    async def client_wrote_to(self, client: str, therapist: str, *, imported_from: str = "") -> None:
        opened = ConversationOpened(conversation_id=fresh(), client_id=client, therapist_id=therapist)
        await self._publish(MESSAGING_TOPIC, "messaging", client, opened, imported_from)

    async def enrolled(self, therapist: str) -> None:
        fact = TherapistEnrolled(therapist_id=therapist, enrolment=[phase("ENROLLED")])
        await self._publish(ENROLMENT_TOPIC, "scheduling", therapist, fact, "")

    async def _publish(self, topic: str, service: str, key: str, fact: Message, imported_from: str) -> None:
        now, position = datetime.now(UTC), next(self._positions)
        sealed = self._types.seal(fact, fresh(), now, Origin(service, imported_from=imported_from))
        headers = Headers(f"{service}/{self._cell}/1", position, f"{service}-{key}", 1, now)
        await publish(self._kafka, topic, [Written(key, sealed, headers.encode())])


@pytest.fixture(scope="module")
def elsewhere(servers: Servers) -> Elsewhere:
    return Elsewhere(servers.kafka)


async def until(ask: Callable[[], Awaitable[Any]], seconds_max: float = 20) -> Any:
    """Asks until the answer is true; returns it."""
    deadline = time.monotonic() + seconds_max
    while not (answer := await ask()):
        assert time.monotonic() < deadline, "not within the time"
        await asyncio.sleep(0.05)
    return answer


async def facts_of(database_url: str, stream: str) -> list[str]:
    """Returns the short names of a stream's facts, in order."""
    connection = await connect(database_url, role="moderation_api", search_path="moderation, public")
    try:
        rows = await connection.fetch("select fact from facts_of($1) order by version", stream)
    finally:
        await connection.close()
    return [open_envelope(row["fact"]).type.rpartition(".")[2] for row in rows]


@pytest.fixture
async def therapists(moderation: ServiceProcess, elsewhere: Elsewhere) -> list[str]:
    """Five enrolled ones who have reported nobody: how many people one suspends in a day is bounded."""
    names = [f"therapist-{fresh()}" for _ in range(5)]
    await enrol(moderation, elsewhere, names)
    return names


async def enrol(moderation: ServiceProcess, elsewhere: Elsewhere, names: list[str]) -> None:
    for name in names:
        await elsewhere.enrolled(name)
    for name in names:
        await until(lambda name=name: facts_of(moderation.database_url, f"gate-enrolment-{name}"))


@pytest.fixture
async def client(moderation: ServiceProcess, elsewhere: Elsewhere, therapists: list[str]) -> str:
    """Somebody who wrote to all of them."""
    name = f"client-{fresh()}"
    for therapist in therapists:
        await elsewhere.client_wrote_to(name, therapist)

    async def all_seen() -> bool:
        return len(await facts_of(moderation.database_url, f"client-{name}")) == len(therapists)

    await until(all_seen)
    return name


def report(client: str, reporter: str, severity: int = SEVERITY_SPAM, **more: Any) -> ReportClientRequest:
    return ReportClientRequest(
        **{"request_id": fresh(), "client_id": client, "reporter_id": reporter, "severity": severity, **more}
    )


def by_moderator(client: str, **more: Any) -> dict[str, Any]:
    return {"request_id": fresh(), "moderator_id": "moderator", "client_id": client, **more}


async def standing_of(stub: Any, client: str) -> Any:
    return (await stub.GetClientStanding(GetClientStandingRequest(client_id=client))).standing


def in_seconds(seconds: float) -> Any:
    return timestamp(datetime.now(UTC) + timedelta(seconds=seconds))


async def imports_of(database_url: str, stream: str) -> dict[str, str]:
    """Returns where each fact of the stream was imported from: a measure of today never is."""
    connection = await connect(database_url, role="moderation_api", search_path="moderation, public")
    try:
        rows = await connection.fetch("select fact from facts_of($1)", stream)
    finally:
        await connection.close()
    envelopes = [open_envelope(row["fact"]) for row in rows]
    return {envelope.type.rpartition(".")[2]: envelope.imported_from for envelope in envelopes}


async def all_pages(stub: Any, asked: ListReportsRequest) -> list[Report]:
    found: list[Report] = []
    while True:
        listed = await stub.ListReports(asked)
        assert len(listed.reports) <= asked.page_size
        found += listed.reports
        if not listed.next_page_token:
            return found
        asked.page_token = listed.next_page_token
