"""Scheduling as its callers meet it, with the services it listens to: processes of their own, called over gRPC."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
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
    CANCELLATION_REASON_AGE,
    CANCELLATION_REASON_SUSPENSION,
    CANCELLATION_REASON_THERAPIST,
    WEEKDAY_MONDAY,
    Weekday,
    WeeklyRange,
)
from holdspace.scheduling.v1.service_pb2 import (
    BOOKING_STATUS_CANCELLED,
    BOOKING_STATUS_CONFIRMED,
    BOOKING_STATUS_EXPIRED,
    BOOKING_STATUS_HELD,
    BOOKING_STATUS_STARTED,
    PART_CLIENT,
    PART_THERAPIST,
    START_OUTCOME_REFUSED_AGE,
    START_OUTCOME_STARTED,
    Booking,
    BookingStatus,
    CancelBookingRequest,
    ConfirmBookingRequest,
    EnrolTherapistRequest,
    GetBookingRequest,
    GetContactHoursRequest,
    HoldSlotRequest,
    ListBookingsRequest,
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
from tests.calls import count_facts, fresh, refused
from tests.running import ServiceProcess

SERVICES = ("age_verification", "moderation", "scheduling")
RIGHTS = {
    "age_verification": ("age_verification.verify",),
    "moderation": ("moderation.decide",),
    "scheduling": tuple(f"scheduling.{right}" for right in ("enrol", "publish", "book", "start", "read")),
}
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
            list(pool.map(lambda each: each.start(), everyone.values()))
            yield everyone
        finally:
            ended = dict(zip(everyone, pool.map(lambda each: each.stop(), everyone.values()), strict=True))
    assert set(ended.values()) == {0}, ended


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
        await self.scheduling.PublishContactHours(
            PublishContactHoursRequest(request_id=fresh(), therapist_id=name, time_zone="UTC", ranges=ALWAYS)
        )

    def slot(self, starts_at: datetime, **more: Any) -> HoldSlotRequest:
        asked = HoldSlotRequest(request_id=fresh(), client_id=self.client, therapist_id=self.therapist)
        asked.starts_at.FromDatetime(starts_at)
        asked.ends_at.FromDatetime(starts_at + SESSION)
        asked.MergeFrom(HoldSlotRequest(**more))
        return asked

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

    async def suspend(self) -> None:
        await self.moderation.SuspendClient(
            SuspendClientRequest(
                request_id=fresh(), moderator_id="moderator", client_id=self.client, policy_version="p1"
            )
        )

    async def lift(self) -> None:
        await self.moderation.ReinstateClient(
            ReinstateClientRequest(
                request_id=fresh(),
                moderator_id="moderator",
                client_id=self.client,
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

    async def becomes(self, booking_id: str, status: BookingStatus.ValueType) -> Booking:
        async def ask() -> Booking:
            booking = await self.booking(booking_id)
            assert booking.status == status, booking
            return booking

        return await eventually(ask)

    async def facts(self, booking_id: str) -> list[str]:
        connection = await asyncpg.connect(self.database_url, server_settings={"role": "scheduling_api"})
        try:
            rows = await connection.fetch(
                "select fact from scheduling.facts where stream = $1 order by version", f"booking-{booking_id}"
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


@pytest.mark.rule("PL8", "SC1")
async def test_a_therapist_is_enrolled_once_and_shows_the_hours_they_published(world: World) -> None:
    newcomer = f"therapist-{fresh()}"
    hours = [WeeklyRange(weekday=WEEKDAY_MONDAY, start_minute=1320, end_minute=120)]
    publish = PublishContactHoursRequest(
        request_id=fresh(), therapist_id=newcomer, time_zone="Europe/Berlin", ranges=hours
    )
    unknown = ("NOT_FOUND", "THERAPIST_UNKNOWN", "therapist_id")
    asked = GetContactHoursRequest(therapist_id=newcomer)
    assert await refused(world.scheduling.PublishContactHours(publish)) == unknown
    assert await refused(world.scheduling.GetContactHours(asked)) == unknown

    for _ in range(2):
        enrol = EnrolTherapistRequest(request_id=fresh(), operator_id="operator", therapist_id=newcomer)
        asked.at_least = (await world.scheduling.EnrolTherapist(enrol)).revision
    assert (await world.scheduling.GetContactHours(asked)).time_zone == ""
    asked.at_least = (await world.scheduling.PublishContactHours(publish)).revision
    told = await world.scheduling.GetContactHours(asked)
    assert (told.time_zone, list(told.ranges)) == ("Europe/Berlin", hours)


@pytest.mark.rule("AV4", "SC3")
async def test_a_client_holds_confirms_and_starts_a_session(world: World) -> None:
    await world.assure()
    starts_at = ahead(timedelta())
    held = await world.scheduling.HoldSlot(world.slot(starts_at))
    booking = await world.booking(held.booking_id, held.revision)
    assert (booking.status, booking.hold_expires_at) == (BOOKING_STATUS_HELD, held.hold_expires_at)
    await world.confirm(held.booking_id)
    for person in (world.therapist, world.client):
        told = await world.start(held.booking_id, person)
        assert told.outcome == START_OUTCOME_STARTED
    booking = await world.booking(held.booking_id, told.revision, world.therapist)
    assert booking.status == BOOKING_STATUS_STARTED
    assert (booking.starts_at.ToDatetime(UTC), booking.ends_at.ToDatetime(UTC)) == (starts_at, starts_at + SESSION)
    assert await world.facts(held.booking_id) == ["SlotHeld", "BookingConfirmed", "SessionStarted"]


@pytest.mark.rule("SC2")
async def test_of_a_thousand_who_ask_for_one_slot_at_once_exactly_one_gets_it(world: World) -> None:
    starts_at = ahead(DAY)
    asked = [world.slot(starts_at, client_id=f"{world.client}-{number}") for number in range(1000)]
    told = await asyncio.gather(*(world.scheduling.HoldSlot(one, timeout=60) for one in asked), return_exceptions=True)
    losers = [answer for answer in told if isinstance(answer, BaseException)]
    assert len(losers) == 999
    assert {error.details() for error in losers if isinstance(error, grpc.aio.AioRpcError)} == {"SLOT_TAKEN"}
    listed = await world.scheduling.ListBookings(ListBookingsRequest(participant_id=world.therapist))
    [winner] = [answer for answer in told if not isinstance(answer, BaseException)]
    await world.booking(winner.booking_id, winner.revision, world.therapist)
    listed = await world.scheduling.ListBookings(ListBookingsRequest(participant_id=world.therapist))
    assert [booking.booking_id for booking in listed.bookings] == [winner.booking_id]


@pytest.mark.rule("PL4")
async def test_a_hold_asked_for_again_with_its_request_id_is_one_hold_with_one_answer(world: World) -> None:
    asked = world.slot(ahead(DAY))
    answers = await asyncio.gather(*(world.scheduling.HoldSlot(asked) for _ in range(20)))
    assert len({answer.SerializeToString() for answer in answers}) == 1
    asked.starts_at.seconds += 60
    assert await refused(world.scheduling.HoldSlot(asked)) == ("INVALID_ARGUMENT", "REQUEST_REUSED", "request_id")


@pytest.mark.rule("SC3")
async def test_a_hold_that_nobody_confirms_is_ended_by_its_timer(world: World) -> None:
    await world.assure()
    starts_at = ahead(DAY)
    held = await world.hasty.HoldSlot(world.slot(starts_at))
    await asyncio.sleep(1.6)
    confirm = ConfirmBookingRequest(request_id=fresh(), client_id=world.client, booking_id=held.booking_id)
    assert await refused(world.scheduling.ConfirmBooking(confirm)) == (
        "FAILED_PRECONDITION",
        "HOLD_EXPIRED",
        "booking_id",
    )
    assert (await world.booking(held.booking_id)).status == BOOKING_STATUS_EXPIRED

    async def noted() -> None:
        assert await world.facts(held.booking_id) == ["SlotHeld", "HoldExpired"]

    await eventually(noted)
    await world.hold(starts_at, client_id=f"{world.client}-2")


@pytest.mark.rule("AV4")
async def test_an_age_result_that_expires_between_confirmation_and_start_cancels_and_frees_the_slot(
    world: World,
) -> None:
    starts_at = ahead(timedelta())
    booking_id = await world.hold(starts_at)
    confirm = ConfirmBookingRequest(request_id=fresh(), client_id=world.client, booking_id=booking_id)
    await world.assure(result_lifetime_seconds=4)
    await world.confirm(booking_id)
    await asyncio.sleep(4)
    asked = StartSessionRequest(request_id=fresh(), participant_id=world.therapist, booking_id=booking_id)
    told = await world.scheduling.StartSession(asked)
    assert told.outcome == START_OUTCOME_REFUSED_AGE
    assert await world.scheduling.StartSession(asked) == told
    booking = await world.booking(booking_id, told.revision)
    assert (booking.status, booking.cancellation_reason) == (BOOKING_STATUS_CANCELLED, CANCELLATION_REASON_AGE)
    confirm.request_id, confirm.booking_id = fresh(), await world.hold(starts_at)
    assert await refused(world.scheduling.ConfirmBooking(confirm)) == (
        "FAILED_PRECONDITION",
        "AGE_NOT_ASSURED",
        "",
    )


@pytest.mark.rule("MO4", "MO5")
async def test_a_suspension_cancels_what_is_ahead_and_a_lift_restores_what_is_still_free(world: World) -> None:
    other = f"{world.client}-2"
    await asyncio.gather(world.assure(), world.assure(other))
    sold_at, free_at = ahead(DAY), ahead(2 * DAY)
    sold, free = await world.book(sold_at), await world.book(free_at)
    held = await world.hold(ahead(3 * DAY))

    await world.suspend()
    for booking_id in (sold, free, held):
        cancelled = await world.becomes(booking_id, BOOKING_STATUS_CANCELLED)
        assert cancelled.cancellation_reason == CANCELLATION_REASON_SUSPENSION
    suspended = ("FAILED_PRECONDITION", "CLIENT_SUSPENDED", "")
    assert await refused(world.scheduling.HoldSlot(world.slot(ahead(4 * DAY)))) == suspended
    taken = await world.book(sold_at, client_id=other)

    await world.lift()
    await world.becomes(free, BOOKING_STATUS_CONFIRMED)

    async def stated() -> None:
        assert (await world.facts(sold))[-1] == "BookingNotRestored"

    await eventually(stated)
    assert (await world.booking(sold)).status == BOOKING_STATUS_CANCELLED
    assert (await world.booking(held)).status == BOOKING_STATUS_CANCELLED
    assert (await world.booking(taken, person=other)).status == BOOKING_STATUS_CONFIRMED
    await world.hold(ahead(4 * DAY))


@pytest.mark.rule("SC5")
async def test_either_side_cancels_and_the_slot_is_free_at_once(world: World) -> None:
    await world.assure()
    starts_at = ahead(DAY)
    booking_id = await world.book(starts_at)
    cancel = CancelBookingRequest(request_id=fresh(), participant_id=world.therapist, booking_id=booking_id)
    told = await world.scheduling.CancelBooking(cancel)
    booking = await world.booking(booking_id, told.revision)
    assert (booking.status, booking.cancellation_reason) == (
        BOOKING_STATUS_CANCELLED,
        CANCELLATION_REASON_THERAPIST,
    )
    cancel.request_id = fresh()
    assert await refused(world.scheduling.CancelBooking(cancel)) == (
        "FAILED_PRECONDITION",
        "BOOKING_OVER",
        "booking_id",
    )
    await world.book(starts_at)


async def test_bookings_are_listed_by_start_for_either_part_a_page_at_a_time(world: World) -> None:
    others = [f"{world.therapist}-{number}" for number in range(4)]
    for name in others:
        await world.open(name)
    as_client = [await world.hold(ahead(place * DAY), therapist_id=name) for place, name in enumerate(others, start=1)]
    # The same person as a therapist.
    await world.open(world.client)
    held = await world.scheduling.HoldSlot(
        world.slot(ahead(2 * DAY) + MINUTE, client_id="somebody", therapist_id=world.client)
    )

    async def listed(**more: Any) -> list[str]:
        asked = ListBookingsRequest(participant_id=world.client, page_size=2, at_least=held.revision, **more)
        found: list[str] = []
        while True:
            told = await world.scheduling.ListBookings(asked)
            found += [booking.booking_id for booking in told.bookings]
            if not told.next_page_token:
                return found
            asked.page_token = told.next_page_token

    assert await listed(part=PART_CLIENT) == as_client
    assert await listed(part=PART_THERAPIST) == [held.booking_id]
    assert await listed() == [*as_client[:2], held.booking_id, *as_client[2:]]
    assert await listed(starts_from={"seconds": int(ahead(3 * DAY).timestamp())}) == as_client[2:]
    page = await world.scheduling.ListBookings(ListBookingsRequest(participant_id=world.client, page_size=1))
    other_list = ListBookingsRequest(participant_id=world.therapist, page_token=page.next_page_token)
    assert await refused(world.scheduling.ListBookings(other_list)) == (
        "INVALID_ARGUMENT",
        "PAGE_TOKEN_STALE",
        "page_token",
    )


async def test_somebody_elses_booking_answers_like_none_at_all(world: World) -> None:
    booking_id = await world.hold(ahead(DAY))
    not_found = ("NOT_FOUND", "NOT_FOUND", "booking_id")
    api = world.scheduling
    for name, person in ((booking_id, "stranger"), ("unknown", "stranger"), ("unknown", world.client)):
        who = {"participant_id": person, "booking_id": name}
        confirm = ConfirmBookingRequest(request_id=fresh(), client_id=person, booking_id=name)
        assert await refused(api.GetBooking(GetBookingRequest(**who))) == not_found
        assert await refused(api.ConfirmBooking(confirm)) == not_found
        assert await refused(api.StartSession(StartSessionRequest(request_id=fresh(), **who))) == not_found
        assert await refused(api.CancelBooking(CancelBookingRequest(request_id=fresh(), **who))) == not_found


def minutes(ranges: list[tuple[int, int, int]]) -> PublishContactHoursRequest:
    messages = [WeeklyRange(weekday=day, start_minute=a, end_minute=b) for day, a, b in ranges]  # type: ignore[arg-type]
    return PublishContactHoursRequest(request_id=fresh(), therapist_id="t", time_zone="UTC", ranges=messages)


BAD: dict[str, tuple[str, Callable[[World], Any], tuple[str, str, str]]] = {
    "a slot that has begun": (
        "HoldSlot",
        lambda w: w.slot(ahead(-DAY)),
        ("FAILED_PRECONDITION", "SLOT_IN_PAST", "starts_at"),
    ),
    "a slot years ahead": (
        "HoldSlot",
        lambda w: w.slot(ahead(800 * DAY)),
        ("FAILED_PRECONDITION", "SLOT_TOO_FAR", "starts_at"),
    ),
    "a slot of no length": (
        "HoldSlot",
        lambda w: w.slot(ahead(DAY), ends_at={"seconds": int(ahead(DAY).timestamp())}),
        ("INVALID_ARGUMENT", "SLOT_LENGTH", "ends_at"),
    ),
    "a slot until the end of time": (
        "HoldSlot",
        lambda w: w.slot(ahead(DAY), ends_at={"seconds": 253_402_300_799}),
        ("INVALID_ARGUMENT", "FIELD_MALFORMED", "ends_at"),
    ),
    "a slot that begins in mid-minute": (
        "HoldSlot",
        lambda w: w.slot(ahead(DAY) + timedelta(seconds=1)),
        ("INVALID_ARGUMENT", "FIELD_MALFORMED", "starts_at"),
    ),
    "a slot without a start": (
        "HoldSlot",
        lambda w: HoldSlotRequest(request_id=fresh(), client_id="c", therapist_id="t", ends_at={"seconds": 60}),
        ("INVALID_ARGUMENT", "FIELD_MISSING", "starts_at"),
    ),
    "a slot with oneself": (
        "HoldSlot",
        lambda w: w.slot(ahead(DAY), client_id=w.therapist),
        ("INVALID_ARGUMENT", "PAIR_OF_ONE", "therapist_id"),
    ),
    "a slot with nobody": (
        "HoldSlot",
        lambda w: w.slot(ahead(DAY), therapist_id="nobody"),
        ("NOT_FOUND", "THERAPIST_UNKNOWN", "therapist_id"),
    ),
    "a zone that is none": (
        "PublishContactHours",
        lambda w: PublishContactHoursRequest(request_id=fresh(), therapist_id=w.therapist, time_zone="Mars/Base"),
        ("INVALID_ARGUMENT", "TIME_ZONE_UNKNOWN", "time_zone"),
    ),
    "no zone": (
        "PublishContactHours",
        lambda w: PublishContactHoursRequest(request_id=fresh(), therapist_id=w.therapist),
        ("INVALID_ARGUMENT", "FIELD_MISSING", "time_zone"),
    ),
    "a range without a weekday": (
        "PublishContactHours",
        lambda _: minutes([(1, 0, 60), (0, 0, 60)]),
        ("INVALID_ARGUMENT", "FIELD_MISSING", "ranges[1].weekday"),
    ),
    "too many ranges": (
        "PublishContactHours",
        lambda _: minutes([(1, 0, 60)] * 101),
        ("INVALID_ARGUMENT", "FIELD_TOO_LARGE", "ranges"),
    ),
    "a start that no clock shows": (
        "PublishContactHours",
        lambda w: PublishContactHoursRequest(
            request_id=fresh(),
            therapist_id=w.therapist,
            time_zone="UTC",
            ranges=[WeeklyRange(weekday=WEEKDAY_MONDAY, start_minute=1440, end_minute=1)],
        ),
        ("INVALID_ARGUMENT", "FIELD_MALFORMED", "ranges[0].start_minute"),
    ),
}


@pytest.mark.parametrize("bad", BAD)
async def test_what_cannot_be_is_refused_with_its_field_and_appends_nothing(world: World, bad: str) -> None:
    method, make, told = BAD[bad]
    before = await count_facts(world.database_url, "scheduling")
    assert await refused(getattr(world.scheduling, method)(make(world))) == told
    assert await count_facts(world.database_url, "scheduling") == before


@pytest.mark.rule("PL5")
async def test_a_person_books_for_themselves_alone(world: World, processes: dict[str, ServiceProcess]) -> None:
    rights = RIGHTS["scheduling"]
    async with processes["scheduling"].channel(*rights, subject=world.client, kind="person") as theirs:
        own = SchedulingServiceStub(theirs)
        await own.HoldSlot(world.slot(ahead(DAY)))
        not_yours = ("PERMISSION_DENIED", "PERSON_NOT_YOURS", "client_id")
        assert await refused(own.HoldSlot(world.slot(ahead(2 * DAY), client_id="another"))) == not_yours


@pytest.mark.rule("SC9")
async def test_without_news_of_standing_no_booking_is_confirmed_and_a_booked_session_starts(
    world: World, processes: dict[str, ServiceProcess]
) -> None:
    await world.assure()
    booked, held = await world.book(ahead(timedelta())), await world.hold(ahead(DAY))
    await asyncio.to_thread(processes["moderation"].stop)
    try:
        await asyncio.sleep(GATE_STALE_SECONDS + 1.5)
        confirm = ConfirmBookingRequest(request_id=fresh(), client_id=world.client, booking_id=held)
        assert await refused(world.scheduling.ConfirmBooking(confirm)) == ("UNAVAILABLE", "GATE_STALE", "")
        assert (await world.start(booked)).outcome == START_OUTCOME_STARTED
    finally:
        await asyncio.to_thread(processes["moderation"].start)
    await world.confirm(held)
