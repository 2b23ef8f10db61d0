"""Scheduling as its callers meet it, with the services it listens to: processes of their own, called over gRPC."""

import asyncio
import signal
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from holdspace.scheduling.v1.events_pb2 import (
    CANCELLATION_REASON_AGE,
    CANCELLATION_REASON_SUSPENSION,
    CANCELLATION_REASON_THERAPIST,
    CANCELLATION_REASON_THERAPIST_UNAVAILABLE,
    WEEKDAY_MONDAY,
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
    CancelBookingRequest,
    ConfirmBookingRequest,
    EnrolTherapistRequest,
    GetBookingRequest,
    GetContactHoursRequest,
    HoldSlotRequest,
    ListBookingsRequest,
    StartSessionRequest,
    WithdrawEnrolmentRequest,
)
from holdspace.scheduling.v1.service_pb2_grpc import SchedulingServiceStub
from tests.calls import answered, count_facts, fresh, refused
from tests.integration import scheduling_world
from tests.integration.scheduling_world import (
    ALWAYS,
    DAY,
    GATE_STALE_SECONDS,
    MINUTE,
    RIGHTS,
    SESSION,
    World,
    ahead,
    eventually,
)
from tests.running import ServiceProcess

pytestmark = pytest.mark.timeout(300)  # the first test waits for a broker, a database and four processes
servers, processes, world = scheduling_world.servers, scheduling_world.processes, scheduling_world.world


@pytest.mark.rule("PL8", "SC1")
async def test_a_therapist_is_enrolled_once_and_shows_the_hours_they_published(world: World) -> None:
    newcomer = f"therapist-{fresh()}"
    hours = [WeeklyRange(weekday=WEEKDAY_MONDAY, start_minute=1320, end_minute=120)]
    publish = world.hours("Europe/Berlin", *hours, therapist=newcomer)
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


@pytest.mark.rule("PL10")
async def test_a_withdrawn_therapist_is_unknown_and_what_was_booked_with_them_is_cancelled(world: World) -> None:
    await world.assure()
    held = await world.scheduling.HoldSlot(world.slot(ahead(DAY)))
    await world.confirm(held.booking_id)
    asked = WithdrawEnrolmentRequest(
        request_id=fresh(), operator_id="operator", therapist_id=world.therapist, reason="enrolled by mistake"
    )
    told = [await world.scheduling.WithdrawEnrolment(asked) for _ in range(2)]
    assert told[0] == told[1]
    hours = GetContactHoursRequest(therapist_id=world.therapist, at_least=told[0].revision)
    unknown = ("NOT_FOUND", "THERAPIST_UNKNOWN", "therapist_id")
    assert await refused(world.scheduling.GetContactHours(hours)) == unknown
    assert await refused(world.scheduling.HoldSlot(world.slot(ahead(DAY * 2)))) == unknown

    booking = await world.becomes(held.booking_id, BOOKING_STATUS_CANCELLED)
    assert booking.cancellation_reason == CANCELLATION_REASON_THERAPIST_UNAVAILABLE
    stranger = WithdrawEnrolmentRequest(request_id=fresh(), operator_id="o", therapist_id=fresh(), reason="r")
    assert await refused(world.scheduling.WithdrawEnrolment(stranger)) == unknown


@pytest.mark.rule("AV4", "SC3")
async def test_a_client_holds_confirms_and_starts_a_session(world: World) -> None:
    await world.assure()
    starts_at = ahead(MINUTE)
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
    answers = await asyncio.gather(*(answered(world.scheduling.HoldSlot(one, timeout=60)) for one in asked))
    losers = [answer for answer in answers if isinstance(answer, tuple)]
    assert losers == [("FAILED_PRECONDITION", "SLOT_TAKEN", "")] * 999
    [winner] = [answer for answer in answers if not isinstance(answer, tuple)]
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


@pytest.mark.rule("PL4")
async def test_a_hold_repeated_through_another_gateway_meets_itself_and_returns_its_first_answer(
    world: World, processes: dict[str, ServiceProcess]
) -> None:
    asked, rights = world.slot(ahead(DAY)), RIGHTS["scheduling"]
    process = processes["scheduling"]
    async with (
        process.channel(*rights, subject="web") as web,
        process.channel(*rights, subject="mobile") as mobile,
        process.channel(*rights, subject=world.client, kind="person") as own,
    ):
        gateways = [SchedulingServiceStub(channel) for channel in (web, mobile, own)]
        first = await gateways[0].HoldSlot(asked)
        again = [await gateway.HoldSlot(asked) for gateway in gateways]
        at_once = world.slot(ahead(2 * DAY))
        told = await asyncio.gather(*(gateway.HoldSlot(at_once) for gateway in gateways * 3))
    assert again == [first] * 3
    assert len({answer.SerializeToString() for answer in told}) == 1
    listed = await world.scheduling.ListBookings(
        ListBookingsRequest(participant_id=world.client, at_least=told[0].revision)
    )
    assert [booking.booking_id for booking in listed.bookings] == [first.booking_id, told[0].booking_id]


@pytest.mark.rule("SC3.c")
async def test_of_many_holds_one_person_asks_for_at_once_three_are_open(world: World) -> None:
    asked = [world.slot(ahead(number * DAY)) for number in range(1, 21)]
    answers = await asyncio.gather(*(answered(world.scheduling.HoldSlot(one)) for one in asked))
    held = [answer for answer in answers if not isinstance(answer, tuple)]
    too_many = ("FAILED_PRECONDITION", "HOLDS_TOO_MANY", "")
    assert (len(held), [answer for answer in answers if isinstance(answer, tuple)]) == (3, [too_many] * 17)
    assert await refused(world.scheduling.HoldSlot(world.slot(ahead(30 * DAY)))) == too_many
    cancel = CancelBookingRequest(request_id=fresh(), participant_id=world.client, booking_id=held[0].booking_id)
    await world.scheduling.CancelBooking(cancel)
    await world.hold(ahead(30 * DAY))


@pytest.mark.rule("SC2.b", "SC3.d")
async def test_a_person_who_is_therapist_and_client_has_one_session_at_a_time(world: World) -> None:
    both, other = world.therapist, f"therapist-{fresh()}"
    await world.open(other)
    starts_at = ahead(DAY)
    gives = world.slot(starts_at)
    takes = world.slot(starts_at, client_id=both, therapist_id=other)
    answers = await asyncio.gather(*(answered(world.scheduling.HoldSlot(one)) for one in (gives, takes)))
    taken = ("FAILED_PRECONDITION", "SLOT_TAKEN", "")
    assert [answer for answer in answers if isinstance(answer, tuple)] == [taken]
    in_the_buffer = world.slot(starts_at + SESSION + MINUTE, client_id=both, therapist_id=other)
    if isinstance(answers[0], tuple):
        await world.scheduling.HoldSlot(in_the_buffer)
    else:
        assert await refused(world.scheduling.HoldSlot(in_the_buffer)) == taken


@pytest.mark.rule("SC3.a")
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
    starts_at = ahead(MINUTE)
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


@pytest.mark.rule("MO1.b", "MO4.d", "MO5.b")
async def test_a_suspended_therapists_bookings_are_cancelled_and_those_still_free_restored_by_a_lift(
    world: World,
) -> None:
    other, elsewhere = f"therapist-{fresh()}", f"{world.client}-2"
    await asyncio.gather(world.assure(), world.assure(elsewhere), world.assure(world.therapist), world.open(other))
    sold_at = ahead(DAY)
    sold, free = await world.book(sold_at), await world.book(ahead(2 * DAY), client_id=elsewhere)
    takes = await world.book(ahead(3 * DAY), client_id=world.therapist, therapist_id=other)

    await world.suspend(world.therapist)
    reasons = []
    for booking_id, person in ((sold, world.client), (free, elsewhere), (takes, world.therapist)):
        cancelled = await world.becomes(booking_id, BOOKING_STATUS_CANCELLED, person)
        reasons.append(cancelled.cancellation_reason)
    unavailable = CANCELLATION_REASON_THERAPIST_UNAVAILABLE
    assert reasons == [unavailable, unavailable, CANCELLATION_REASON_SUSPENSION]
    suspended = ("FAILED_PRECONDITION", "THERAPIST_SUSPENDED", "")
    assert await refused(world.scheduling.HoldSlot(world.slot(ahead(4 * DAY)))) == suspended
    await world.book(sold_at, therapist_id=other)

    await world.lift(world.therapist)
    await world.becomes(free, BOOKING_STATUS_CONFIRMED, elsewhere)
    await world.becomes(takes, BOOKING_STATUS_CONFIRMED, world.therapist)

    async def stated() -> None:
        assert (await world.facts(sold))[-1] == "BookingNotRestored"

    await eventually(stated)


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
    others = [f"{world.therapist}-{number}" for number in range(3)]
    for name in others:
        await world.open(name)
    as_client = [await world.hold(ahead(place * DAY), therapist_id=name) for place, name in enumerate(others, start=1)]
    # The same person as a therapist.
    await world.open(world.client)
    held = await world.scheduling.HoldSlot(
        world.slot(ahead(2 * DAY) + 2 * SESSION, client_id="somebody", therapist_id=world.client)
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
    assert await listed(starts_from=ahead(3 * DAY)) == as_client[2:]
    page = await world.scheduling.ListBookings(ListBookingsRequest(participant_id=world.client, page_size=1))
    other_list = ListBookingsRequest(participant_id=world.therapist, page_token=page.next_page_token)
    assert await refused(world.scheduling.ListBookings(other_list)) == (
        "INVALID_ARGUMENT",
        "PAGE_TOKEN_INVALID",
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


HOLD, PUBLISH, INVALID, FAILED = "HoldSlot", "PublishContactHours", "INVALID_ARGUMENT", "FAILED_PRECONDITION"
FOREVER = datetime.max.replace(tzinfo=UTC)
NO_START = HoldSlotRequest(request_id="r", client_id="c", therapist_id="t", ends_at=FOREVER)
NO_CLOCK = WeeklyRange(weekday=WEEKDAY_MONDAY, start_minute=1440, end_minute=1)
BAD: dict[str, tuple[str, Callable[[World], Any], str]] = {
    "begun": (HOLD, lambda w: w.slot(ahead(-DAY)), f"{FAILED} SLOT_IN_PAST starts_at"),
    "years ahead": (HOLD, lambda w: w.slot(ahead(800 * DAY)), f"{FAILED} SLOT_TOO_FAR starts_at"),
    "of no length": (HOLD, lambda w: w.slot(ahead(DAY), ends_at=ahead(DAY)), f"{INVALID} SLOT_LENGTH ends_at"),
    "until the end of time": (
        HOLD, lambda w: w.slot(ahead(DAY), ends_at=FOREVER), f"{INVALID} FIELD_MALFORMED ends_at"
    ),
    "in mid-minute": (
        HOLD, lambda w: w.slot(ahead(DAY) + timedelta(seconds=1)), f"{INVALID} FIELD_MALFORMED starts_at"
    ),
    "without a start": (HOLD, lambda _: NO_START, f"{INVALID} FIELD_MISSING starts_at"),
    "with oneself": (HOLD, lambda w: w.slot(ahead(DAY), client_id=w.therapist), f"{INVALID} PAIR_OF_ONE therapist_id"),
    "with nobody": (
        HOLD, lambda w: w.slot(ahead(DAY), therapist_id="nobody"), "NOT_FOUND THERAPIST_UNKNOWN therapist_id"
    ),
    "in no zone": (PUBLISH, lambda w: w.hours(""), f"{INVALID} FIELD_MISSING time_zone"),
    "on another planet": (PUBLISH, lambda w: w.hours("Mars/Base"), f"{INVALID} TIME_ZONE_UNKNOWN time_zone"),
    "on no weekday": (
        PUBLISH, lambda w: w.hours("UTC", *ALWAYS, WeeklyRange()), f"{INVALID} FIELD_MISSING ranges[7].weekday"
    ),
    "too many": (PUBLISH, lambda w: w.hours("UTC", *ALWAYS * 15), f"{INVALID} FIELD_TOO_LARGE ranges"),
    "off the clock": (
        PUBLISH, lambda w: w.hours("UTC", NO_CLOCK), f"{INVALID} FIELD_MALFORMED ranges[0].start_minute"
    ),
}  # fmt: skip


@pytest.mark.parametrize("bad", BAD)
async def test_a_slot_or_hours_that_cannot_be_are_refused_with_their_field_and_append_nothing(
    world: World, bad: str
) -> None:
    method, make, told = BAD[bad]
    before = await count_facts(world.database_url, "scheduling")
    assert " ".join(await refused(getattr(world.scheduling, method)(make(world)))) == told
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
    booked, held = await world.book(ahead(MINUTE)), await world.hold(ahead(DAY))
    moderation = processes["moderation"].process
    assert moderation is not None
    moderation.send_signal(signal.SIGSTOP)
    try:
        await asyncio.sleep(GATE_STALE_SECONDS + 1.5)
        confirm = ConfirmBookingRequest(request_id=fresh(), client_id=world.client, booking_id=held)
        assert await refused(world.scheduling.ConfirmBooking(confirm)) == ("UNAVAILABLE", "GATE_STALE", "")
        assert (await world.start(booked)).outcome == START_OUTCOME_STARTED
    finally:
        moderation.send_signal(signal.SIGCONT)
    await world.confirm(held)
