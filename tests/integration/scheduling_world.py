"""Scheduling in a world of its own: a broker, a database, the services it listens to, and what tests do with them."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import grpc
import pytest

from holdspace.age_verification.v1.service_pb2 import SubmitProviderTokenRequest
from holdspace.age_verification.v1.service_pb2_grpc import AgeVerificationServiceStub
from holdspace.moderation.v1.events_pb2 import REINSTATEMENT_LIFTED
from holdspace.moderation.v1.service_pb2 import ReinstateClientRequest, SuspendClientRequest
from holdspace.moderation.v1.service_pb2_grpc import ModerationServiceStub
from holdspace.scheduling.v1.events_pb2 import (
    Weekday,
    WeeklyRange,
)
from holdspace.scheduling.v1.service_pb2 import (
    Booking,
    BookingStatus,
    ConfirmBookingRequest,
    EnrolTherapistRequest,
    GetBookingRequest,
    HoldSlotRequest,
    PublishContactHoursRequest,
    StartSessionRequest,
    StartSessionResponse,
)
from holdspace.scheduling.v1.service_pb2_grpc import SchedulingServiceStub
from infra import topics
from infra.database import prepare
from infra.local import keys
from infra.local import servers as local_servers
from infra.local.servers import Servers
from kernel.facts import open_envelope
from kernel.migrate import migrate
from services.moderation.domain.policy import DEFAULT
from tests.calls import fresh
from tests.running import ServiceProcess

SERVICES = ("age_verification", "moderation", "scheduling")
RIGHTS = {
    "age_verification": ("age_verification.verify",),
    "moderation": ("moderation.decide",),
    "scheduling": tuple(f"scheduling.{right}" for right in ("enrol", "publish", "book", "start", "read")),
}
START_SECONDS = 120.0
GATE_STALE_SECONDS = 5
DAY, MINUTE, SESSION = timedelta(days=1), timedelta(minutes=1), timedelta(minutes=50)
ALWAYS = [WeeklyRange(weekday=day, start_minute=0, end_minute=1440) for day in Weekday.values() if day]


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """A broker of the module's own: processes of one consumer share its partitions, whatever database they are on."""
    folder = tmp_path_factory.mktemp("servers")
    try:
        found = local_servers.up(folder, print)
        topics.apply(found.kafka, topics.load(), replication=1, partitions=4)
        asyncio.run(_prepare(found.database_url))
        yield found
    finally:
        local_servers.down(folder)


async def _prepare(database_url: str) -> None:
    await prepare(database_url)
    for service in SERVICES:
        await migrate(database_url, service)


@pytest.fixture(scope="module")
def processes(
    servers: Servers, credentials: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, ServiceProcess]]:
    """Scheduling, what it listens to, and another api of scheduling whose holds last a second and a half."""
    folder = tmp_path_factory.mktemp("processes")

    def process(service: str, *roles: str, **more: str) -> ServiceProcess:
        url = servers.database_url
        return ServiceProcess(service, servers, url, credentials, folder, cell="main", roles=roles, more=more)

    everyone = {
        "age_verification": process("age_verification", "api", "relay"),
        "moderation": process("moderation", "api", "relay"),
        "scheduling": process("scheduling", HOLDSPACE_GATE_STALE_SECONDS=str(GATE_STALE_SECONDS)),
        "hasty": process("scheduling", "api", HOLDSPACE_HOLD_SECONDS="1.5"),
    }
    with ThreadPoolExecutor() as pool:
        try:
            list(pool.map(_start, everyone.values()))
            yield everyone
        finally:
            ended = dict(zip(everyone, pool.map(lambda each: each.stop(), everyone.values()), strict=True))
    assert set(ended.values()) == {0}, ended


def _start(process: ServiceProcess) -> None:
    """A channel that has been refused again and again keeps from trying, so none is opened before there is a port."""
    process.start(wait=False)
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection(("127.0.0.1", process.port), timeout=1):
            break
        time.sleep(0.1)
    process.wait_until_ready()


@dataclass(slots=True)
class World:
    """Stubs of the services, and what tests do with them."""

    credentials: Path
    database_url: str
    age: Any
    moderation: Any
    scheduling: Any
    hasty: Any
    therapist: str = field(default_factory=lambda: f"therapist-{fresh()}")
    client: str = field(default_factory=lambda: f"client-{fresh()}")

    async def open(self, therapist: str = "") -> None:
        name = therapist or self.therapist
        await self.scheduling.EnrolTherapist(
            EnrolTherapistRequest(request_id=fresh(), operator_id="operator", therapist_id=name)
        )
        await self.scheduling.PublishContactHours(self.hours("UTC", *ALWAYS, therapist=name))

    def hours(self, time_zone: str, *ranges: WeeklyRange, therapist: str = "") -> PublishContactHoursRequest:
        name = therapist or self.therapist
        return PublishContactHoursRequest(request_id=fresh(), therapist_id=name, time_zone=time_zone, ranges=ranges)

    def slot(self, starts_at: datetime, **more: Any) -> HoldSlotRequest:
        parties = {"client_id": self.client, "therapist_id": self.therapist}
        times = {"starts_at": starts_at, "ends_at": starts_at + SESSION}
        return HoldSlotRequest(**{"request_id": fresh(), **parties, **times, **more})

    async def hold(self, starts_at: datetime, **more: Any) -> str:
        return (await self.scheduling.HoldSlot(self.slot(starts_at, **more))).booking_id

    async def confirm(self, booking_id: str, client: str = "") -> None:
        """Waits until the copy of the client's age has arrived, and the gates are fresh."""
        asked = ConfirmBookingRequest(request_id=fresh(), client_id=client or self.client, booking_id=booking_id)
        await eventually(lambda: self.scheduling.ConfirmBooking(asked))

    async def book(self, starts_at: datetime, **more: Any) -> str:
        booking_id = await self.hold(starts_at, **more)
        await self.confirm(booking_id, more.get("client_id", ""))
        return booking_id

    async def assure(self, client: str = "", **more: Any) -> None:
        name = client or self.client
        token = keys.mint_age_token(self.credentials, **{"client_id": name, "over_18": True, **more})
        await self.age.SubmitProviderToken(SubmitProviderTokenRequest(request_id=fresh(), client_id=name, token=token))

    async def suspend(self, person: str = "") -> None:
        subject = person or self.client
        await self.moderation.SuspendClient(
            SuspendClientRequest(
                request_id=fresh(), moderator_id="moderator", client_id=subject, policy_version=DEFAULT.version
            )
        )

    async def lift(self, person: str = "") -> None:
        await self.moderation.ReinstateClient(
            ReinstateClientRequest(
                request_id=fresh(),
                moderator_id="moderator",
                client_id=person or self.client,
                reinstatement=REINSTATEMENT_LIFTED,
            )
        )

    async def start(self, booking_id: str, person: str = "") -> StartSessionResponse:
        asked = StartSessionRequest(request_id=fresh(), participant_id=person or self.client, booking_id=booking_id)
        told: StartSessionResponse = await self.scheduling.StartSession(asked)
        return told

    async def booking(self, booking_id: str, revision: str = "", person: str = "") -> Booking:
        asked = GetBookingRequest(participant_id=person or self.client, booking_id=booking_id, at_least=revision)
        return (await self.scheduling.GetBooking(asked)).booking

    async def becomes(self, booking_id: str, status: BookingStatus.ValueType, person: str = "") -> Booking:
        async def ask() -> Booking:
            booking = await self.booking(booking_id, person=person)
            assert booking.status == status, booking
            return booking

        return await eventually(ask)

    async def facts(self, booking_id: str) -> list[str]:
        connection = await asyncpg.connect(self.database_url, server_settings={"role": "scheduling_api"})
        try:
            rows = await connection.fetch(
                "select fact from scheduling.facts_of($1) order by version", f"booking-{booking_id}"
            )
        finally:
            await connection.close()
        return [open_envelope(row[0]).type.rpartition(".")[2] for row in rows]


@pytest.fixture
async def world(processes: dict[str, ServiceProcess], servers: Servers, credentials: Path) -> AsyncIterator[World]:
    """A client and an enrolled therapist of the test's own, who is there at all hours."""
    async with AsyncExitStack() as stack:
        channels = {
            name: await stack.enter_async_context(process.channel(*RIGHTS[process.name]))
            for name, process in processes.items()
        }
        world = World(
            credentials,
            servers.database_url,
            AgeVerificationServiceStub(channels["age_verification"]),
            ModerationServiceStub(channels["moderation"]),
            SchedulingServiceStub(channels["scheduling"]),
            SchedulingServiceStub(channels["hasty"]),
        )
        await world.open()
        yield world


async def eventually(ask: Callable[[], Awaitable[Any]], seconds_max: float = 20) -> Any:
    """Returns the first answer that is neither an error nor a failed assertion."""
    deadline = time.monotonic() + seconds_max
    while True:
        try:
            return await ask()
        except (grpc.aio.AioRpcError, AssertionError):
            if time.monotonic() > deadline:
                raise
        await asyncio.sleep(0.05)


def ahead(of: timedelta) -> datetime:
    """Returns the whole minute that lies this far ahead, or up to a minute more."""
    return (datetime.now(UTC) + of + MINUTE).replace(second=0, microsecond=0)
