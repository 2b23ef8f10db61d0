from dataclasses import replace

import pytest

from holdspace.scheduling.v1.events_pb2 import (
    CANCELLATION_REASON_CLIENT,
    CANCELLATION_REASON_SUSPENSION,
    CANCELLATION_REASON_THERAPIST_UNAVAILABLE,
    BookingNotRestored,
    BookingRestored,
)
from holdspace.scheduling.v1.private_pb2 import BookingsSetAside, BookingsTakenUp, RestorationPostponed
from kernel.decision import Decision
from kernel.gates import Gate
from kernel.store.interface import Timer
from services.scheduling.app import BOOKING, SUSPENDED_BOOKINGS
from services.scheduling.domain import suspension as domain
from services.scheduling.domain.booking import SLOT_ENDS
from services.scheduling.domain.suspension import (
    BOOKINGS_OF_A_FACT_MAX,
    CancelForSuspension,
    GiveUpRestoring,
    KeepAside,
    RestoreBooking,
    SetBookingsAside,
    TakeBookingsUp,
)
from services.scheduling.domain.therapist import Therapist
from tests.sentences import START, Sentences
from tests.unit.scheduling.booked import (
    BANNED,
    BRAKED,
    CLAIMS,
    CONFIRMED,
    ENDS,
    EXPIRED,
    EXPIRES,
    GOOD,
    HELD,
    MINUTE,
    NOT_RESTORED,
    PARTIES,
    RESOURCES,
    RESTORED,
    STARTED,
    STARTS,
    SUSPENDED,
    WORKS,
    cancelled,
)

SETTING_ASIDE = Sentences(SUSPENDED_BOOKINGS, domain.set_aside)
TAKING_UP = Sentences(SUSPENDED_BOOKINGS, domain.take_up)
CANCELLING, RESTORING, GIVING_UP = (
    Sentences(BOOKING, decide) for decide in (domain.cancel_for_suspension, domain.restore, domain.give_up_restoring)
)
CANCEL = CancelForSuspension("b", "c", START + MINUTE)
RESTORE = RestoreBooking("b", "c", "c", "t", "lift-1", START + MINUTE)
GIVE_UP = GiveUpRestoring("b", "c", 7, "lift-1", START + MINUTE)
UNAVAILABLE = cancelled(CANCELLATION_REASON_THERAPIST_UNAVAILABLE)


def aside(*ids: str) -> BookingsSetAside:
    return BookingsSetAside(person_id="c", booking_ids=ids)


def up(*ids: str) -> BookingsTakenUp:
    return BookingsTakenUp(person_id="c", booking_ids=ids, lift_version=7)


def postponed(person: str, *waits_for: str, attempt: str = "lift-1") -> RestorationPostponed:
    return RestorationPostponed(**PARTIES, person_id=person, waits_for_ids=waits_for, attempt_id=attempt)


@pytest.mark.rule("MO5")
def test_what_is_ahead_when_a_suspension_comes_is_set_aside() -> None:
    command = SetBookingsAside("c", ("b1", "b2"), START)
    for standing in (SUSPENDED, BANNED):
        SETTING_ASIDE.given().when(command, standing).then(aside("b1", "b2"))
    SETTING_ASIDE.given(aside("b1")).when(command, SUSPENDED).then(aside("b1", "b2"))
    SETTING_ASIDE.given().when(replace(command, booking_ids=()), SUSPENDED).then()


def test_a_suspension_that_is_over_before_it_was_carried_out_takes_nothing() -> None:
    SETTING_ASIDE.given().when(SetBookingsAside("c", ("b1",), START), GOOD).then()
    CANCELLING.given(HELD, CONFIRMED).when(CANCEL, BRAKED).then()


def test_bookings_beyond_number_fill_several_facts() -> None:
    ids = tuple(f"b{number:04}" for number in range(2 * BOOKINGS_OF_A_FACT_MAX + 1))
    decision = SETTING_ASIDE.given().when(SetBookingsAside("c", ids, START), BANNED).decision()
    assert [len(fact.booking_ids) for fact in decision.facts] == [BOOKINGS_OF_A_FACT_MAX, BOOKINGS_OF_A_FACT_MAX, 1]
    assert TAKING_UP.given(*decision.facts).when(TakeBookingsUp("c", 7, START), GOOD).decision().facts == [
        up(*fact.booking_ids) for fact in decision.facts
    ]


@pytest.mark.rule("MO4")
def test_a_lift_takes_up_all_that_suspensions_set_aside_since_the_last_one() -> None:
    lift = TakeBookingsUp("c", 7, START)
    TAKING_UP.given(aside("b2"), aside("b1")).when(lift, GOOD).then(up("b1", "b2"))
    TAKING_UP.given(aside("b1"), up("b1"), aside("b2")).when(lift, GOOD).then(up("b2"))
    TAKING_UP.given().when(lift, GOOD).then()


def test_a_lift_that_was_overtaken_by_another_suspension_leaves_them_to_the_next_lift() -> None:
    TAKING_UP.given(aside("b1")).when(TakeBookingsUp("c", 7, START), SUSPENDED).then()


@pytest.mark.rule("MO5")
def test_a_suspension_cancels_a_hold_and_a_booking_and_frees_their_slots() -> None:
    for facts, fact in (((HELD,), cancelled(set_aside=False)), ((HELD, CONFIRMED), cancelled())):
        decision = CANCELLING.given(*facts).when(CANCEL, SUSPENDED).then(fact)
        assert decision.releases == RESOURCES


@pytest.mark.rule("MO1", "MO5")
def test_the_reason_says_whose_suspension_it_was_and_that_of_a_therapist_is_free_for_the_client() -> None:
    given = CANCELLING.given(HELD, CONFIRMED)
    [of_client] = given.when(CANCEL, SUSPENDED).decision().facts
    [of_therapist] = given.when(replace(CANCEL, person_id="t"), SUSPENDED).decision().facts
    assert (of_client.reason, of_client.person_id) == (CANCELLATION_REASON_SUSPENSION, "c")  # type: ignore[attr-defined]
    assert of_therapist == UNAVAILABLE


def test_a_suspension_leaves_alone_what_has_ended_or_begun() -> None:
    for facts in ((), (HELD, EXPIRED), (HELD, CONFIRMED, STARTED), (HELD, cancelled(CANCELLATION_REASON_CLIENT))):
        CANCELLING.given(*facts).when(CANCEL, SUSPENDED).then()
    CANCELLING.given(HELD).when(replace(CANCEL, now=EXPIRES), SUSPENDED).then()
    CANCELLING.given(HELD, CONFIRMED).when(replace(CANCEL, now=ENDS), SUSPENDED).then()


@pytest.mark.rule("MO5")
def test_a_suspension_takes_a_booking_that_began_and_was_not_started() -> None:
    for now in (STARTS, ENDS - MINUTE):
        CANCELLING.given(HELD, CONFIRMED).when(replace(CANCEL, now=now), SUSPENDED).then(cancelled())


@pytest.mark.rule("MO4")
def test_a_lift_restores_a_booking_with_its_whole_slot() -> None:
    decision = RESTORING.given(HELD, CONFIRMED, cancelled()).when(RESTORE, GOOD, BRAKED, WORKS).then(RESTORED)
    assert decision == Decision([RESTORED], CLAIMS, timers=[Timer(SLOT_ENDS, ENDS)])
    of_therapist = RESTORING.given(HELD, CONFIRMED, UNAVAILABLE).when(
        replace(RESTORE, person_id="t"), GOOD, GOOD, WORKS
    )
    of_therapist.then(BookingRestored(**PARTIES, person_id="t"))


@pytest.mark.rule("MO4")
def test_a_lift_restores_no_hold_and_nothing_that_its_parties_gave_up() -> None:
    for facts in (
        (HELD, cancelled(set_aside=False)),
        (HELD, CONFIRMED, cancelled(CANCELLATION_REASON_THERAPIST_UNAVAILABLE, set_aside=False)),  # withdrawn
        (HELD, CONFIRMED, cancelled(CANCELLATION_REASON_CLIENT)),
        (HELD, CONFIRMED),
        (HELD, CONFIRMED, cancelled(), RESTORED),
        (HELD, CONFIRMED, cancelled(), NOT_RESTORED),
    ):
        RESTORING.given(*facts).when(RESTORE, GOOD, GOOD, WORKS).then()
        GIVING_UP.given(*facts).when(GIVE_UP).then()


@pytest.mark.rule("MO4")
def test_the_lift_of_one_party_gives_back_nothing_that_the_suspension_of_the_other_took() -> None:
    for booked, person in ((cancelled(), "t"), (UNAVAILABLE, "c")):
        RESTORING.given(HELD, CONFIRMED, booked).when(replace(RESTORE, person_id=person), GOOD, GOOD, WORKS).then()
        GIVING_UP.given(HELD, CONFIRMED, booked).when(replace(GIVE_UP, person_id=person)).then()


@pytest.mark.rule("MO4")
def test_what_cannot_be_restored_is_stated_with_the_lift_that_was_to() -> None:
    given = (HELD, CONFIRMED, cancelled())
    begun = replace(RESTORE, now=STARTS)
    for both in ((GOOD, GOOD), (SUSPENDED, GOOD)):
        RESTORING.given(*given).when(begun, *both, WORKS).refused("SLOT_IN_PAST", "booking_id")
    RESTORING.given(*given).when(RESTORE, GOOD, GOOD, Therapist()).refused("THERAPIST_UNKNOWN", "booking_id")
    GIVING_UP.given(*given).when(GIVE_UP).then(NOT_RESTORED)
    of_therapist = GIVING_UP.given(HELD, CONFIRMED, UNAVAILABLE).when(replace(GIVE_UP, person_id="t", lift_version=9))
    of_therapist.then(BookingNotRestored(**PARTIES, person_id="t", lift_version=9))


@pytest.mark.rule("MO4", "MO5")
@pytest.mark.parametrize(
    ("client", "therapist", "waits_for"),
    [(SUSPENDED, GOOD, ["c"]), (GOOD, BANNED, ["t"]), (BANNED, SUSPENDED, ["c", "t"])],
)
def test_while_a_party_is_suspended_the_booking_waits_for_their_lift_and_is_not_given_up(
    client: Gate, therapist: Gate, waits_for: list[str]
) -> None:
    given, waits = (HELD, CONFIRMED, cancelled()), postponed("c", *waits_for)
    RESTORING.given(*given).when(RESTORE, client, therapist, WORKS).then(waits)
    GIVING_UP.given(*given, waits).when(GIVE_UP).then()
    [last, *_] = waits_for
    lift = replace(RESTORE, person_id=last, attempt="lift-2")
    RESTORING.given(*given, waits).when(lift, GOOD, GOOD, WORKS).then(BookingRestored(**PARTIES, person_id=last))
    lost = BookingNotRestored(**PARTIES, person_id=last, lift_version=8)
    GIVING_UP.given(*given, waits).when(GiveUpRestoring("b", last, 8, "lift-2", START)).then(lost)


@pytest.mark.rule("MO4")
def test_a_booking_that_waits_is_kept_with_the_person_it_waits_for_whether_or_not_they_are_suspended_still() -> None:
    keeping = Sentences(SUSPENDED_BOOKINGS, domain.keep_aside)
    keeping.given().when(KeepAside("c", "b1", START)).then(aside("b1"))
    keeping.given(aside("b1")).when(KeepAside("c", "b1", START)).then()


def test_a_restored_booking_can_be_cancelled_by_the_next_suspension_and_restored_again() -> None:
    once = (HELD, CONFIRMED, cancelled(), RESTORED)
    CANCELLING.given(*once).when(CANCEL, SUSPENDED).then(cancelled())
    RESTORING.given(*once, cancelled()).when(RESTORE, GOOD, GOOD, WORKS).then(RESTORED)
