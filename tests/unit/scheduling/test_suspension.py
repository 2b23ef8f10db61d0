from dataclasses import replace

import pytest

from holdspace.scheduling.v1.events_pb2 import CANCELLATION_REASON_CLIENT
from holdspace.scheduling.v1.private_pb2 import BookingsSetAside, BookingsTakenUp
from kernel.gates import Gate
from services.scheduling.app import BOOKING, SUSPENDED_BOOKINGS
from services.scheduling.domain import suspension as domain
from services.scheduling.domain.suspension import (
    BOOKINGS_OF_A_FACT_MAX,
    CancelForSuspension,
    GiveUpRestoring,
    RestoreBooking,
    SetBookingsAside,
    TakeBookingsUp,
)
from tests.sentences import START, Sentences
from tests.unit.scheduling.booked import (
    BANNED,
    BRAKED,
    CLAIMS,
    CONFIRMED,
    EXPIRED,
    EXPIRES,
    GOOD,
    HELD,
    MINUTE,
    NOT_RESTORED,
    RESOURCES,
    RESTORED,
    STARTED,
    STARTS,
    SUSPENDED,
    cancelled,
)

SETTING_ASIDE = Sentences(SUSPENDED_BOOKINGS, domain.set_aside)
TAKING_UP = Sentences(SUSPENDED_BOOKINGS, domain.take_up)
CANCELLING, RESTORING, GIVING_UP = (
    Sentences(BOOKING, decide) for decide in (domain.cancel_for_suspension, domain.restore, domain.give_up_restoring)
)
CANCEL = CancelForSuspension("b", "c", START + MINUTE)
RESTORE = RestoreBooking("b", "c", START + MINUTE)
GIVE_UP = GiveUpRestoring("b", START + MINUTE)


def aside(*ids: str) -> BookingsSetAside:
    return BookingsSetAside(client_id="c", booking_ids=ids)


def up(*ids: str) -> BookingsTakenUp:
    return BookingsTakenUp(client_id="c", booking_ids=ids)


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
    assert TAKING_UP.given(*decision.facts).when(TakeBookingsUp("c", START), GOOD).decision().facts == [
        BookingsTakenUp(client_id="c", booking_ids=fact.booking_ids) for fact in decision.facts
    ]


@pytest.mark.rule("MO4")
def test_a_lift_takes_up_all_that_suspensions_set_aside_since_the_last_one() -> None:
    lift = TakeBookingsUp("c", START)
    TAKING_UP.given(aside("b2"), aside("b1")).when(lift, GOOD).then(up("b1", "b2"))
    TAKING_UP.given(aside("b1"), up("b1"), aside("b2")).when(lift, GOOD).then(up("b2"))
    TAKING_UP.given().when(lift, GOOD).then()


def test_a_lift_that_was_overtaken_by_another_suspension_leaves_them_to_the_next_lift() -> None:
    TAKING_UP.given(aside("b1")).when(TakeBookingsUp("c", START), SUSPENDED).then()


@pytest.mark.rule("MO5")
def test_a_suspension_cancels_a_hold_and_a_booking_and_frees_their_slots() -> None:
    for facts in ((HELD,), (HELD, CONFIRMED)):
        decision = CANCELLING.given(*facts).when(CANCEL, SUSPENDED).then(cancelled())
        assert decision.releases == RESOURCES


def test_a_suspension_leaves_alone_what_has_ended_or_begun() -> None:
    for facts in ((), (HELD, EXPIRED), (HELD, CONFIRMED, STARTED), (HELD, cancelled(CANCELLATION_REASON_CLIENT))):
        CANCELLING.given(*facts).when(CANCEL, SUSPENDED).then()
    CANCELLING.given(HELD).when(replace(CANCEL, now=EXPIRES), SUSPENDED).then()


@pytest.mark.rule("MO4")
def test_a_lift_restores_a_booking_with_its_whole_slot() -> None:
    decision = RESTORING.given(HELD, CONFIRMED, cancelled()).when(RESTORE, GOOD).then(RESTORED)
    assert decision.claims == CLAIMS


@pytest.mark.rule("MO4")
def test_a_lift_restores_no_hold_and_nothing_that_its_parties_gave_up() -> None:
    for facts in (
        (HELD, cancelled()),
        (HELD, CONFIRMED, cancelled(CANCELLATION_REASON_CLIENT)),
        (HELD, CONFIRMED),
        (HELD, CONFIRMED, cancelled(), RESTORED),
        (HELD, CONFIRMED, cancelled(), NOT_RESTORED),
    ):
        RESTORING.given(*facts).when(RESTORE, GOOD).then()
        GIVING_UP.given(*facts).when(GIVE_UP).then()


@pytest.mark.rule("MO4")
@pytest.mark.parametrize(
    ("command", "standing", "reason", "field"),
    [
        (replace(RESTORE, now=STARTS), GOOD, "SLOT_IN_PAST", "booking_id"),
        (RESTORE, SUSPENDED, "CLIENT_SUSPENDED", "client_id"),
    ],
)
def test_what_cannot_be_restored_is_stated(command: RestoreBooking, standing: Gate, reason: str, field: str) -> None:
    given = (HELD, CONFIRMED, cancelled())
    RESTORING.given(*given).when(command, standing).refused(reason, field)
    GIVING_UP.given(*given).when(GIVE_UP).then(NOT_RESTORED)


def test_a_restored_booking_can_be_cancelled_by_the_next_suspension_and_restored_again() -> None:
    once = (HELD, CONFIRMED, cancelled(), RESTORED)
    CANCELLING.given(*once).when(CANCEL, SUSPENDED).then(cancelled())
    RESTORING.given(*once, cancelled()).when(RESTORE, GOOD).then(RESTORED)
