"""Bookings over time: holds that end, suspensions that come and go, and what is true afterwards."""

import asyncio
from datetime import timedelta

import pytest

from holdspace.scheduling.v1.events_pb2 import CANCELLATION_REASON_THERAPIST_UNAVAILABLE
from kernel.errors import Rejected
from kernel.texts import Written
from services.scheduling.app import booking_stream
from services.scheduling.domain.booking import CancelBooking, Status
from services.scheduling.domain.policy import HOLDS_MAX
from services.scheduling.domain.therapist import EnrolTherapist, WithdrawEnrolment
from tests.sentences import START
from tests.unit.scheduling.practice import SESSION, Practice

TOMORROW = START + timedelta(days=1)
MINUTE = timedelta(minutes=1)


@pytest.fixture
async def practice() -> Practice:
    practice = Practice()
    await practice.open("t", "u")
    return practice


@pytest.mark.rule("SC2")
async def test_a_thousand_who_ask_for_one_slot_have_one_winner(practice: Practice) -> None:
    asked = [practice.hold(f"b{number}", f"c{number}", "t", TOMORROW) for number in range(1000)]
    told = await asyncio.gather(*asked, return_exceptions=True)
    assert sum(answer is None for answer in told) == 1
    assert {error.reason for error in told if isinstance(error, Rejected)} == {"SLOT_TAKEN"}


@pytest.mark.rule("SC2")
@pytest.mark.parametrize(
    ("therapist", "client", "minutes", "free"),
    [
        ("t", "d", 59, False),  # within the therapist's buffer
        ("t", "d", 60, True),
        ("t", "d", -59, False),  # its own buffer runs into the session
        ("t", "d", -60, True),
        ("u", "c", 49, False),
        ("u", "c", 50, True),  # a client needs no buffer
    ],
)
async def test_slots_of_one_person_never_overlap_buffers_included(
    practice: Practice, therapist: str, client: str, minutes: int, free: bool
) -> None:
    await practice.hold("b1", "c", "t", TOMORROW)
    asked = practice.hold("b2", client, therapist, TOMORROW + minutes * MINUTE)
    if free:
        await asked
        return
    with pytest.raises(Rejected, match="SLOT_TAKEN"):
        await asked


@pytest.mark.rule("SC2.b", "SC3.d")
@pytest.mark.parametrize(
    ("minutes", "free"),
    [
        (0, False),
        (49, False),
        (59, False),  # within the buffer after the session they give
        (60, True),
        (-49, False),
        (-50, True),  # the session they take needs no buffer
    ],
)
async def test_a_person_gives_and_takes_one_session_at_a_time(practice: Practice, minutes: int, free: bool) -> None:
    await practice.hold("given", "c", "t", TOMORROW)
    asked = practice.hold("taken", "t", "u", TOMORROW + minutes * MINUTE)
    if free:
        await asked
        return
    with pytest.raises(Rejected, match="SLOT_TAKEN"):
        await asked


@pytest.mark.rule("SC3.c")
async def test_of_many_holds_a_person_asks_for_at_once_three_are_open(practice: Practice) -> None:
    asked = [practice.hold(f"b{number}", "c", "t", TOMORROW + 2 * number * SESSION) for number in range(10)]
    told = await asyncio.gather(*asked, return_exceptions=True)
    assert sum(answer is None for answer in told) == HOLDS_MAX == 3
    assert [error.reason for error in told if isinstance(error, Rejected)] == ["HOLDS_TOO_MANY"] * 7
    await practice.hold("other", "d", "u", TOMORROW)


@pytest.mark.rule("SC3.c")
async def test_a_hold_that_is_confirmed_given_up_or_over_makes_room_for_another(practice: Practice) -> None:
    await practice.copy("age", "c", "ASSURED")
    times = [TOMORROW + 2 * number * SESSION for number in range(6)]
    for number in range(3):
        await practice.hold(f"b{number}", "c", "t", times[number])
    with pytest.raises(Rejected, match="HOLDS_TOO_MANY"):
        await practice.hold("b3", "c", "t", times[3])
    await practice.confirm("b0", "c", "t")
    await practice.hold("b3", "c", "t", times[3])
    await practice.run(CancelBooking("b1", "c", practice.now))
    await practice.hold("b4", "c", "t", times[4])
    with pytest.raises(Rejected, match="HOLDS_TOO_MANY"):
        await practice.hold("b5", "c", "t", times[5])
    practice.clock.advance(timedelta(minutes=10))  # and nobody has noted that they are over
    await practice.hold("b5", "c", "t", times[5])


@pytest.mark.rule("SC3")
async def test_a_hold_ends_by_its_timer_and_its_slot_is_sold_to_the_next(practice: Practice) -> None:
    await practice.hold("b1", "c", "t", TOMORROW)
    practice.clock.advance(timedelta(minutes=10))
    await practice.settle()
    assert await practice.names("b1") == ["SlotHeld", "HoldExpired"]
    await practice.book("b2", "d", "t", TOMORROW)


@pytest.mark.rule("SC3")
async def test_whoever_meets_an_expired_hold_ends_it_and_takes_the_slot(practice: Practice) -> None:
    await practice.hold("b1", "c", "t", TOMORROW)
    await practice.hold("b2", "c", "u", TOMORROW + 2 * SESSION)
    practice.clock.advance(timedelta(minutes=10))
    await practice.hold("b3", "d", "t", TOMORROW)
    assert await practice.names("b1") == ["SlotHeld", "HoldExpired"]
    assert await practice.names("b2") == ["SlotHeld"]
    assert (await practice.booking("b2")).status_at(practice.now) is Status.EXPIRED


@pytest.mark.rule("SC3")
async def test_a_confirmed_booking_has_no_timer_left(practice: Practice) -> None:
    await practice.book("b1", "c", "t", TOMORROW)
    practice.clock.advance(timedelta(hours=1))
    await practice.settle()
    assert await practice.names("b1") == ["SlotHeld", "BookingConfirmed"]


@pytest.mark.rule("MO5", "MO4")
async def test_a_suspension_cancels_everything_ahead_and_a_lift_restores_the_bookings(practice: Practice) -> None:
    await practice.book("b1", "c", "t", TOMORROW)
    await practice.book("b2", "c", "u", TOMORROW + 2 * SESSION)
    await practice.hold("b3", "c", "t", TOMORROW + 5 * SESSION)
    await practice.book("other", "d", "t", TOMORROW + 9 * SESSION)
    await practice.suspend("c")
    await practice.settle()
    cancelled = [(await practice.booking(name)).status for name in ("b1", "b2", "b3", "other")]
    assert cancelled == [*[Status.CANCELLED] * 3, Status.CONFIRMED]

    await practice.reinstate("c")
    await practice.settle()
    assert await practice.names("b1") == ["SlotHeld", "BookingConfirmed", "BookingCancelled", "BookingRestored"]
    assert (await practice.booking("b2")).status is Status.CONFIRMED
    assert (await practice.booking("b3")).status is Status.CANCELLED


@pytest.mark.rule("MO4")
async def test_what_was_sold_or_has_begun_meanwhile_is_not_restored_and_that_is_stated(practice: Practice) -> None:
    await practice.book("sold", "c", "t", TOMORROW)
    await practice.book("begun", "c", "u", START + timedelta(hours=1))
    await practice.book("free", "c", "u", TOMORROW + 2 * SESSION)
    await practice.suspend("c")
    await practice.settle()
    await practice.book("b4", "d", "t", TOMORROW + 30 * MINUTE)
    practice.clock.advance(timedelta(hours=2))
    await practice.reinstate("c")
    await practice.settle()
    assert (await practice.names("sold"))[-1] == "BookingNotRestored"
    assert (await practice.names("begun"))[-1] == "BookingNotRestored"
    assert (await practice.names("free"))[-1] == "BookingRestored"
    assert (await practice.booking("b4")).status is Status.CONFIRMED


@pytest.mark.rule("MO4", "SC3")
async def test_a_hold_that_expired_on_the_slot_does_not_keep_a_booking_from_being_restored(practice: Practice) -> None:
    await practice.book("b1", "c", "t", TOMORROW)
    await practice.suspend("c")
    await practice.settle()
    await practice.hold("b2", "d", "t", TOMORROW)
    practice.clock.advance(timedelta(minutes=10))
    await practice.reinstate("c")
    await practice.settle()
    assert (await practice.booking("b1")).status is Status.CONFIRMED
    assert (await practice.names("b2"))[-1] == "HoldExpired"


@pytest.mark.rule("MO4")
async def test_a_lift_that_comes_before_the_suspension_was_carried_out_leaves_all_as_it_was(practice: Practice) -> None:
    await practice.book("b1", "c", "t", TOMORROW)
    await practice.suspend("c")
    await practice.reinstate("c")
    await practice.settle()
    assert await practice.names("b1") == ["SlotHeld", "BookingConfirmed"]


@pytest.mark.rule("MO5")
async def test_a_suspension_on_the_heels_of_a_lift_wins_and_the_next_lift_restores(practice: Practice) -> None:
    await practice.book("b1", "c", "t", TOMORROW)
    await practice.suspend("c")
    await practice.settle()
    await practice.reinstate("c")
    await practice.suspend("c")
    await practice.settle()
    assert (await practice.booking("b1")).status is Status.CANCELLED
    await practice.reinstate("c")
    await practice.settle()
    assert (await practice.booking("b1")).status is Status.CONFIRMED


@pytest.mark.rule("MO4")
async def test_a_suspension_that_lapses_restores_nothing_until_a_person_lifts_it(practice: Practice) -> None:
    await practice.book("b1", "c", "t", TOMORROW)
    await practice.suspend("c")
    await practice.settle()
    await practice.copy("standing", "c", "BRAKED", "holdspace.moderation.v1.SuspensionLapsed")
    await practice.settle()
    assert (await practice.booking("b1")).status is Status.CANCELLED
    await practice.reinstate("c")
    await practice.settle()
    assert (await practice.booking("b1")).status is Status.CONFIRMED


@pytest.mark.rule("MO4")
async def test_a_suspension_carried_out_late_still_takes_what_had_begun_unstarted_since(practice: Practice) -> None:
    await practice.book("b1", "c", "t", START + timedelta(hours=1))
    await practice.suspend("c")
    practice.clock.advance(timedelta(hours=1, minutes=10))
    await practice.settle()
    assert (await practice.booking("b1")).status is Status.CANCELLED


@pytest.mark.rule("MO5")
async def test_no_hold_and_no_confirmation_passes_from_the_copy_of_a_suspension_on(practice: Practice) -> None:
    await practice.copy("age", "c", "ASSURED")
    await practice.hold("b1", "c", "t", TOMORROW)
    await practice.suspend("c")
    with pytest.raises(Rejected, match="CLIENT_SUSPENDED"):
        await practice.confirm("b1", "c", "t")
    with pytest.raises(Rejected, match="CLIENT_SUSPENDED"):
        await practice.hold("b2", "c", "u", TOMORROW)


async def test_a_cancelled_slot_is_free_at_once(practice: Practice) -> None:
    await practice.book("b1", "c", "t", TOMORROW)
    await practice.run(CancelBooking("b1", "t", practice.now))
    await practice.book("b2", "d", "t", TOMORROW)


@pytest.mark.rule("PL10")
async def test_what_is_ahead_with_a_therapist_is_cancelled_when_their_enrolment_is_withdrawn(
    practice: Practice,
) -> None:
    await practice.book("b1", "c", "t", TOMORROW)
    await practice.hold("b2", "d", "t", TOMORROW + SESSION * 2)
    await practice.book("b3", "c", "u", TOMORROW + SESSION * 2)
    await practice.book("b4", "t", "u", TOMORROW + SESSION * 4)  # as a client: that one stays
    await practice.run(WithdrawEnrolment("t", Written("r1", "left"), practice.now))
    with pytest.raises(Rejected, match="THERAPIST_UNKNOWN"):
        await practice.hold("b5", "d", "t", TOMORROW + SESSION * 6)
    await practice.settle()
    statuses = [(await practice.booking(booking_id)).status for booking_id in ("b1", "b2", "b3", "b4")]
    assert statuses == [Status.CANCELLED, Status.CANCELLED, Status.CONFIRMED, Status.CONFIRMED]
    cancelled = (await practice.facts(booking_stream("b1")))[-1]
    assert cancelled.reason == CANCELLATION_REASON_THERAPIST_UNAVAILABLE  # type: ignore[attr-defined]
    await practice.book("b6", "c", "u", TOMORROW)  # The client's time is free again.


@pytest.mark.rule("PL10")
async def test_a_therapist_enrolled_again_before_it_was_carried_out_keeps_what_is_ahead(practice: Practice) -> None:
    await practice.book("b1", "c", "t", TOMORROW)
    await practice.run(WithdrawEnrolment("t", Written("r1", "a mistake"), practice.now))
    await practice.run(EnrolTherapist("t", practice.now))
    await practice.settle()
    assert (await practice.booking("b1")).status is Status.CONFIRMED
