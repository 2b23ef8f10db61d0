"""Suspensions and lifts of either party, of both, and of one person in two roles, and what becomes of the bookings."""

import random
from datetime import timedelta

import pytest

from holdspace.scheduling.v1.events_pb2 import (
    CANCELLATION_REASON_SUSPENSION,
    CANCELLATION_REASON_THERAPIST_UNAVAILABLE,
)
from kernel.errors import Rejected
from kernel.texts import Written
from services.scheduling.app import booking_stream
from services.scheduling.domain.booking import Status
from services.scheduling.domain.therapist import EnrolTherapist, WithdrawEnrolment
from tests.sentences import START
from tests.unit.scheduling.practice import SESSION, Practice

TOMORROW = START + timedelta(days=1)
HOUR = timedelta(hours=1)


@pytest.fixture
async def practice() -> Practice:
    practice = Practice()
    await practice.open("t", "u")
    return practice


async def statuses(practice: Practice, *bookings: str) -> list[Status]:
    return [(await practice.booking(name)).status for name in bookings]


@pytest.mark.rule("MO1.b", "MO4.d", "MO5.b")
async def test_a_suspension_of_a_therapist_cancels_what_is_ahead_and_a_lift_restores_what_is_free(
    practice: Practice,
) -> None:
    await practice.book("free", "c", "t", TOMORROW)
    await practice.book("sold", "d", "t", TOMORROW + 2 * HOUR)
    await practice.hold("held", "e", "t", TOMORROW + 4 * HOUR)
    await practice.book("other", "c", "u", TOMORROW + 6 * HOUR)
    await practice.suspend("t")
    await practice.settle()
    assert await statuses(practice, "free", "sold", "held", "other") == [*[Status.CANCELLED] * 3, Status.CONFIRMED]
    [*_, cancelled] = await practice.facts(booking_stream("free"))
    told = (cancelled.reason, cancelled.person_id)  # type: ignore[attr-defined]
    assert told == (CANCELLATION_REASON_THERAPIST_UNAVAILABLE, "t")

    await practice.book("instead", "d", "u", TOMORROW + 2 * HOUR)  # the client of the one found another
    await practice.reinstate("t")
    await practice.settle()
    assert await statuses(practice, "free", "sold", "held") == [Status.CONFIRMED, Status.CANCELLED, Status.CANCELLED]
    [*_, lost] = await practice.facts(booking_stream("sold"))
    assert (type(lost).__name__, lost.person_id) == ("BookingNotRestored", "t")  # type: ignore[attr-defined]
    assert lost.lift_version == practice.copies  # type: ignore[attr-defined]


@pytest.mark.rule("MO1.b", "MO4.d", "MO5.b")
async def test_a_suspension_is_carried_out_in_every_role_of_the_person(practice: Practice) -> None:
    await practice.book("gives", "c", "t", TOMORROW)
    await practice.book("takes", "t", "u", TOMORROW + 2 * HOUR)
    await practice.suspend("t")
    await practice.settle()
    assert await statuses(practice, "gives", "takes") == [Status.CANCELLED] * 2
    reasons = [(await practice.facts(booking_stream(name)))[-1].reason for name in ("gives", "takes")]  # type: ignore[attr-defined]
    assert reasons == [CANCELLATION_REASON_THERAPIST_UNAVAILABLE, CANCELLATION_REASON_SUSPENSION]
    await practice.reinstate("t")
    await practice.settle()
    assert await statuses(practice, "gives", "takes") == [Status.CONFIRMED] * 2


@pytest.mark.rule("MO5.b")
@pytest.mark.parametrize("person", ["c", "t"])
async def test_a_session_that_began_and_was_not_started_when_the_suspension_came_is_cancelled(
    practice: Practice, person: str
) -> None:
    await practice.book("begun", "c", "t", START + HOUR)
    await practice.book("started", "d", "u", START + HOUR)
    practice.clock.advance(HOUR + timedelta(minutes=10))
    await practice.start("started", "d", "u")
    for suspended in (person, "d"):
        await practice.suspend(suspended)
    await practice.settle()
    assert await statuses(practice, "begun", "started") == [Status.CANCELLED, Status.STARTED]


@pytest.mark.rule("MO4.d", "MO5.b")
@pytest.mark.parametrize("person", ["c", "t"])
async def test_a_second_suspension_during_a_restoration_loses_no_booking(practice: Practice, person: str) -> None:
    await practice.book("b1", "c", "t", TOMORROW)
    await practice.suspend(person)
    await practice.settle()
    await practice.reinstate(person)
    await practice.react()  # The bookings are taken up, and none is restored so far.
    await practice.suspend(person)
    await practice.settle()
    assert await statuses(practice, "b1") == [Status.CANCELLED]
    assert "BookingNotRestored" not in await practice.names("b1")
    await practice.reinstate(person)
    await practice.settle()
    assert await statuses(practice, "b1") == [Status.CONFIRMED]


@pytest.mark.rule("MO4.d")
@pytest.mark.parametrize("lifts", [("c", "t"), ("t", "c")])
@pytest.mark.parametrize("at_once", [True, False])
async def test_a_booking_set_aside_for_both_sides_is_restored_when_both_are_free(
    practice: Practice, lifts: tuple[str, str], at_once: bool
) -> None:
    await practice.book("b1", "c", "t", TOMORROW)
    for person in ("c", "t"):
        await practice.suspend(person)
        if not at_once:
            await practice.settle()
    await practice.settle()
    await practice.reinstate(lifts[0])
    await practice.settle()
    assert await statuses(practice, "b1") == [Status.CANCELLED]
    await practice.reinstate(lifts[1])
    await practice.settle()
    assert await statuses(practice, "b1") == [Status.CONFIRMED]


@pytest.mark.rule("MO4.d", "MO5.b")
@pytest.mark.parametrize("seed", range(40))
async def test_however_suspensions_and_lifts_of_both_sides_follow_upon_each_other_none_passes_and_none_is_lost(
    practice: Practice, seed: int
) -> None:
    chance = random.Random(seed)
    await practice.book("b1", "c", "t", TOMORROW)
    suspended: set[str] = set()
    for _ in range(chance.randint(2, 12)):
        person = chance.choice(("c", "t"))
        await (practice.reinstate(person) if person in suspended else practice.suspend(person))
        suspended ^= {person}
        for _ in range(chance.randint(0, 3)):
            await practice.react()
    await practice.settle()
    assert await statuses(practice, "b1") == [Status.CANCELLED if suspended else Status.CONFIRMED]
    for person in sorted(suspended):
        await practice.reinstate(person)
        await practice.settle()
    assert await statuses(practice, "b1") == [Status.CONFIRMED]
    with pytest.raises(Rejected, match="SLOT_TAKEN"):
        await practice.hold("b2", "d", "t", TOMORROW)


@pytest.mark.rule("MO4")
async def test_a_lift_of_the_other_side_restores_nothing_after_a_suspension_that_only_lapsed(
    practice: Practice,
) -> None:
    await practice.book("b1", "c", "t", TOMORROW)
    await practice.suspend("c")
    await practice.settle()
    await practice.copy("standing", "c", "BRAKED", "holdspace.moderation.v1.SuspensionLapsed")
    await practice.suspend("t")
    await practice.reinstate("t")
    await practice.settle()
    assert await statuses(practice, "b1") == [Status.CANCELLED]
    await practice.reinstate("c")
    await practice.settle()
    assert await statuses(practice, "b1") == [Status.CONFIRMED]


@pytest.mark.rule("MO4")
@pytest.mark.parametrize(("epoch", "status"), [(1, Status.CANCELLED), (2, Status.CONFIRMED)])
async def test_a_source_restored_to_before_it_suspended_somebody_gives_their_bookings_back_like_a_lift(
    practice: Practice, epoch: int, status: Status
) -> None:
    await practice.book("b1", "c", "t", TOMORROW)
    await practice.suspend("c")
    await practice.settle()
    await practice.copy("standing", "c", "GOOD", "holdspace.moderation.v1.BrakeLapsed", epoch=epoch)
    await practice.settle()
    assert await statuses(practice, "b1") == [status]


@pytest.mark.rule("MO4", "PL10")
async def test_a_lift_gives_back_nothing_with_a_therapist_whose_enrolment_was_withdrawn(practice: Practice) -> None:
    withdraw = WithdrawEnrolment("t", Written("r", "left"), practice.now)
    await practice.book("before", "c", "t", TOMORROW)
    await practice.book("takes", "t", "u", TOMORROW + 2 * HOUR)
    await practice.suspend("c")
    await practice.settle()
    await practice.run(withdraw)
    await practice.suspend("t")
    await practice.settle()
    for person in ("c", "t"):
        await practice.reinstate(person)
        await practice.settle()
    assert await statuses(practice, "before", "takes") == [Status.CANCELLED, Status.CONFIRMED]
    assert (await practice.names("before"))[-1] == "BookingNotRestored"


@pytest.mark.rule("MO4", "PL10")
async def test_what_a_withdrawal_took_waits_for_no_lift(practice: Practice) -> None:
    await practice.book("b1", "c", "t", TOMORROW)
    await practice.run(WithdrawEnrolment("t", Written("r", "left"), practice.now))
    await practice.suspend("t")
    await practice.settle()
    await practice.run(EnrolTherapist("t", practice.now))
    await practice.reinstate("t")
    await practice.settle()
    assert await statuses(practice, "b1") == [Status.CANCELLED]


async def test_what_is_over_is_ended_by_its_timer_and_frees_the_time_of_both(practice: Practice) -> None:
    await practice.book("taken-place", "c", "t", START + HOUR)
    await practice.book("nobody-came", "d", "u", START + HOUR)
    practice.clock.advance(HOUR)
    await practice.start("taken-place", "c", "t")
    practice.clock.advance(SESSION)
    await practice.settle()
    assert (await practice.names("taken-place"))[-2:] == ["SessionStarted", "SessionEnded"]
    assert (await practice.names("nobody-came"))[-2:] == ["BookingConfirmed", "BookingLapsed"]
    with pytest.raises(Rejected, match="SLOT_TAKEN"):
        await practice.hold("in-the-buffer", "e", "t", practice.now + timedelta(minutes=1))
    practice.clock.advance(timedelta(minutes=10))
    await practice.settle()
    for person in ("c", "t", "d", "u"):
        assert list(await practice.store.holders(f"person/{person}", START)) == []
