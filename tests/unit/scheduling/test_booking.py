from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from holdspace.scheduling.v1.events_pb2 import (
    CANCELLATION_REASON_AGE,
    CANCELLATION_REASON_CLIENT,
    CANCELLATION_REASON_THERAPIST,
)
from holdspace.scheduling.v1.private_pb2 import SlotHeld
from kernel.decision import Decision
from kernel.facts import timestamp
from kernel.gates import Gate
from kernel.store.interface import RangeClaim, Timer
from services.scheduling.app import BOOKING
from services.scheduling.domain import booking as domain
from services.scheduling.domain import session
from services.scheduling.domain.booking import (
    HOLD_EXPIRES,
    SLOT_ENDS,
    CancelBooking,
    ConfirmBooking,
    ExpireHold,
    HoldSlot,
)
from services.scheduling.domain.session import StartSession
from services.scheduling.domain.therapist import Therapist
from tests.gates import gate
from tests.sentences import START, Sentences
from tests.unit.scheduling.booked import (
    ASSURED,
    BANNED,
    BLOCKED,
    BRAKED,
    CLAIMS,
    CONFIRMED,
    ENDED,
    ENDS,
    EXPIRED,
    EXPIRES,
    GOOD,
    HELD,
    LAPSED,
    MINUTE,
    POLICY,
    RESOURCES,
    STARTED,
    STARTS,
    SUSPENDED,
    UNASSURED,
    WORKS,
    cancelled,
)

HOLDING, CONFIRMING, STARTING, CANCELLING, EXPIRING = (
    Sentences(BOOKING, decide) for decide in (domain.hold, domain.confirm, session.start, domain.cancel, domain.expire)
)
HOLD = HoldSlot("b", "c", "t", STARTS, ENDS, POLICY, START)
CONFIRM = ConfirmBooking("b", "c", "c", "t", START + MINUTE)
START_IT = StartSession("b", "c", "c", "t", POLICY, STARTS)
CANCEL = CancelBooking("b", "c", START + MINUTE)


@pytest.mark.rule("SC2", "SC3")
def test_a_hold_claims_the_time_of_both_with_the_therapists_buffer_until_it_expires() -> None:
    decision = HOLDING.given().when(HOLD, WORKS, GOOD, GOOD).then(HELD)
    assert decision.claims == [
        RangeClaim("person/t", STARTS, BLOCKED, EXPIRES),
        RangeClaim("person/c", STARTS, ENDS, EXPIRES),
        RangeClaim("hold/c/1", START, EXPIRES),
    ]
    assert decision.timers == [Timer(HOLD_EXPIRES, EXPIRES)]


@pytest.mark.rule("PL8")
def test_nobody_is_booked_before_they_are_enrolled_nor_by_themselves() -> None:
    HOLDING.given().when(HOLD, Therapist(), GOOD, GOOD).refused("THERAPIST_UNKNOWN", "therapist_id")
    HOLDING.given().when(replace(HOLD, client_id="t"), WORKS, GOOD, GOOD).refused("PAIR_OF_ONE", "therapist_id")


def slot(starts: datetime, minutes: float) -> HoldSlot:
    return replace(HOLD, starts_at=starts, ends_at=starts + minutes * MINUTE)


MONTH = timedelta(weeks=4)
SLOTS = {
    "begun": (slot(START, 50), "SLOT_IN_PAST", "starts_at"),
    "long past": (slot(STARTS - MONTH, 50), "SLOT_IN_PAST", "starts_at"),
    "years ahead": (slot(STARTS + 14 * MONTH, 50), "SLOT_TOO_FAR", "starts_at"),
    "too short": (slot(STARTS, 14), "SLOT_LENGTH", "ends_at"),
    "too long": (slot(STARTS, 241), "SLOT_LENGTH", "ends_at"),
    "backwards": (slot(STARTS, -50), "SLOT_LENGTH", "ends_at"),
    "starting in mid-minute": (slot(STARTS + timedelta(seconds=1), 50), "FIELD_MALFORMED", "starts_at"),
    "ending in mid-minute": (slot(STARTS, 50.5), "FIELD_MALFORMED", "ends_at"),
    "running past the hours": (slot(STARTS + timedelta(hours=5, minutes=30), 50), "OUTSIDE_CONTACT_HOURS", "starts_at"),
    "on a day off": (slot(STARTS + timedelta(days=1), 50), "OUTSIDE_CONTACT_HOURS", "starts_at"),
}


@pytest.mark.rule("SC1", "SC4")
@pytest.mark.parametrize("case", SLOTS)
def test_a_slot_that_cannot_be_kept_is_not_held(case: str) -> None:
    command, reason, field = SLOTS[case]
    HOLDING.given().when(command, WORKS, GOOD, GOOD).refused(reason, field)


@pytest.mark.rule("MO5")
@pytest.mark.parametrize("closed", [SUSPENDED, BANNED])
def test_nobody_holds_confirms_or_starts_while_either_side_is_suspended(closed: Gate) -> None:
    asked = [
        (HOLDING.given(), HOLD, (WORKS,), ()),
        (CONFIRMING.given(HELD), CONFIRM, (), (ASSURED,)),
        (STARTING.given(HELD, CONFIRMED), START_IT, (), (ASSURED,)),
    ]
    for given, command, before, after in asked:
        given.when(command, *before, closed, GOOD, *after).refused("CLIENT_SUSPENDED")
        given.when(command, *before, GOOD, closed, *after).refused("THERAPIST_SUSPENDED")


@pytest.mark.rule("MO4")
def test_a_brake_keeps_nobody_from_a_session_and_a_suspension_ends_by_the_time_it_carries() -> None:
    HOLDING.given().when(HOLD, WORKS, BRAKED, GOOD).then(HELD)
    CONFIRMING.given(HELD).when(CONFIRM, BRAKED, GOOD, ASSURED).then(CONFIRMED)
    STARTING.given(HELD, CONFIRMED).when(START_IT, BRAKED, GOOD, ASSURED).then(STARTED)
    over = gate("SUSPENDED", START + MINUTE, ("GOOD", None))
    CONFIRMING.given(HELD).when(CONFIRM, over, GOOD, ASSURED).then(CONFIRMED)


@pytest.mark.rule("SC2", "SC3")
def test_a_confirmed_hold_keeps_its_slot_for_good() -> None:
    decision = CONFIRMING.given(HELD).when(CONFIRM, GOOD, GOOD, ASSURED).then(CONFIRMED)
    assert decision == Decision(
        [CONFIRMED], CLAIMS, RESOURCES, timers=[Timer(SLOT_ENDS, ENDS)], cancelled_timers=[HOLD_EXPIRES]
    )


@pytest.mark.rule("SC3")
def test_a_hold_is_checked_at_confirmation_to_the_instant_whether_or_not_its_expiry_was_noted() -> None:
    last, late = replace(CONFIRM, now=EXPIRES - timedelta(microseconds=1)), replace(CONFIRM, now=EXPIRES)
    CONFIRMING.given(HELD).when(last, GOOD, GOOD, ASSURED).then(CONFIRMED)
    CONFIRMING.given(HELD).when(late, GOOD, GOOD, ASSURED).refused("HOLD_EXPIRED", "booking_id")
    CONFIRMING.given(HELD, EXPIRED).when(CONFIRM, GOOD, GOOD, ASSURED).refused("HOLD_EXPIRED", "booking_id")


@pytest.mark.rule("SC3.b")
def test_nothing_is_confirmed_after_its_slot_began_or_ended() -> None:
    outlasting = SlotHeld()
    outlasting.CopyFrom(HELD)
    outlasting.expires_at.CopyFrom(timestamp(ENDS + MINUTE))
    given = CONFIRMING.given(outlasting)
    given.when(replace(CONFIRM, now=STARTS - timedelta(microseconds=1)), GOOD, GOOD, ASSURED).then(CONFIRMED)
    for now in (STARTS, ENDS):
        given.when(replace(CONFIRM, now=now), GOOD, GOOD, ASSURED).refused("SLOT_IN_PAST", "booking_id")


def test_only_a_hold_is_confirmed_and_only_by_its_client() -> None:
    for facts in ((HELD, CONFIRMED), (HELD, cancelled(CANCELLATION_REASON_CLIENT))):
        CONFIRMING.given(*facts).when(CONFIRM, GOOD, GOOD, ASSURED).refused("BOOKING_NOT_HELD", "booking_id")
    for facts, person in (((), "c"), ((HELD,), "t"), ((HELD,), "stranger")):
        asked = replace(CONFIRM, asked_by=person)
        CONFIRMING.given(*facts).when(asked, GOOD, GOOD, ASSURED).refused("NOT_FOUND", "booking_id")


@pytest.mark.rule("AV4")
@pytest.mark.parametrize("age", UNASSURED)
def test_a_booking_is_confirmed_only_for_a_client_who_is_assured_to_be_over_18(age: str) -> None:
    CONFIRMING.given(HELD).when(CONFIRM, GOOD, GOOD, UNASSURED[age]).refused("AGE_NOT_ASSURED")


def test_no_booking_is_confirmed_on_copies_that_are_too_old() -> None:
    def stale(gate: Gate) -> Gate:
        return gate.seen(is_fresh=False, is_parked=False)

    for read in ((stale(GOOD), GOOD, ASSURED), (GOOD, stale(GOOD), ASSURED), (GOOD, GOOD, stale(ASSURED))):
        CONFIRMING.given(HELD).when(CONFIRM, *read).refused("GATE_STALE")


@pytest.mark.rule("MO5", "AV4")
def test_while_a_fact_about_either_side_is_parked_nothing_is_held_confirmed_or_started() -> None:
    def parked(gate: Gate) -> Gate:
        return gate.seen(is_fresh=True, is_parked=True)

    for both in ((parked(GOOD), GOOD), (GOOD, parked(GOOD))):
        HOLDING.given().when(HOLD, WORKS, *both).refused("GATE_PARKED")
        CONFIRMING.given(HELD).when(CONFIRM, *both, ASSURED).refused("GATE_PARKED")
        STARTING.given(HELD, CONFIRMED).when(START_IT, *both, ASSURED).refused("GATE_PARKED")
    CONFIRMING.given(HELD).when(CONFIRM, GOOD, GOOD, parked(ASSURED)).refused("GATE_PARKED")
    STARTING.given(HELD, CONFIRMED).when(START_IT, GOOD, GOOD, parked(ASSURED)).refused("GATE_PARKED")


@pytest.mark.rule("SC3")
def test_a_hold_expires_at_its_time_and_frees_the_slot_once() -> None:
    decision = EXPIRING.given(HELD).when(ExpireHold("b", EXPIRES)).then(EXPIRED)
    assert decision.releases == RESOURCES
    EXPIRING.given(HELD).when(ExpireHold("b", EXPIRES - timedelta(microseconds=1))).then()
    for facts in ((), (HELD, EXPIRED), (HELD, CONFIRMED), (HELD, cancelled(CANCELLATION_REASON_CLIENT))):
        EXPIRING.given(*facts).when(ExpireHold("b", EXPIRES)).then()


def test_a_session_starts_within_its_time_for_whichever_side_asks_first() -> None:
    given = STARTING.given(HELD, CONFIRMED)
    for now in (STARTS - POLICY.start_early, STARTS, ENDS - MINUTE):
        for person in ("c", "t"):
            given.when(replace(START_IT, now=now, asked_by=person), GOOD, GOOD, ASSURED).then(STARTED)
    STARTING.given(HELD, CONFIRMED, STARTED).when(replace(START_IT, asked_by="t"), GOOD, GOOD, ASSURED).then()
    for now in (STARTS - POLICY.start_early - MINUTE, ENDS):
        given.when(replace(START_IT, now=now), GOOD, GOOD, ASSURED).refused("SESSION_NOT_DUE", "booking_id")


def test_only_a_confirmed_booking_starts_and_no_stranger_starts_it() -> None:
    for facts in ((HELD,), (HELD, EXPIRED), (HELD, CONFIRMED, cancelled())):
        STARTING.given(*facts).when(START_IT, GOOD, GOOD, ASSURED).refused("BOOKING_NOT_CONFIRMED", "booking_id")
    for facts in ((), (HELD, CONFIRMED)):
        asked = replace(START_IT, asked_by="stranger")
        STARTING.given(*facts).when(asked, GOOD, GOOD, ASSURED).refused("NOT_FOUND", "booking_id")


@pytest.mark.rule("AV4", "SC9")
@pytest.mark.parametrize("age", UNASSURED)
def test_an_age_result_that_no_longer_holds_at_the_start_cancels_the_booking_and_frees_its_slot(age: str) -> None:
    decision = (
        STARTING.given(HELD, CONFIRMED)
        .when(START_IT, GOOD, GOOD, UNASSURED[age])
        .then(cancelled(CANCELLATION_REASON_AGE))
    )
    assert decision.releases == RESOURCES


@pytest.mark.rule("AV4")
def test_an_age_result_that_runs_out_between_confirmation_and_start_refuses_the_start() -> None:
    runs_out = gate("ASSURED", STARTS, ("EXPIRED", None))
    CONFIRMING.given(HELD).when(CONFIRM, GOOD, GOOD, runs_out).then(CONFIRMED)
    given = STARTING.given(HELD, CONFIRMED)
    given.when(replace(START_IT, now=STARTS - MINUTE), GOOD, GOOD, runs_out).then(STARTED)
    given.when(START_IT, GOOD, GOOD, runs_out).then(cancelled(CANCELLATION_REASON_AGE))


@pytest.mark.rule("AV4.d")
@pytest.mark.parametrize("age", ["unknown", "expired"])
def test_a_stale_copy_that_says_no_worse_than_expired_refuses_the_start_and_keeps_the_booking(age: str) -> None:
    read = (GOOD, GOOD, UNASSURED[age].seen(is_fresh=False, is_parked=False))
    STARTING.given(HELD, CONFIRMED).when(START_IT, *read).refused("GATE_STALE")


@pytest.mark.rule("AV4.b")
@pytest.mark.parametrize("age", ["revoked", "under age"])
def test_a_copied_decision_against_the_client_cancels_the_booking_however_old_the_copy_is(age: str) -> None:
    read = (GOOD, GOOD, UNASSURED[age].seen(is_fresh=False, is_parked=False))
    decision = STARTING.given(HELD, CONFIRMED).when(START_IT, *read).then(cancelled(CANCELLATION_REASON_AGE))
    assert decision.releases == RESOURCES


def test_a_session_starts_on_a_stale_copy_that_says_assured() -> None:
    read = (gate.seen(is_fresh=False, is_parked=False) for gate in (GOOD, GOOD, ASSURED))
    STARTING.given(HELD, CONFIRMED).when(START_IT, *read).then(STARTED)


@pytest.mark.rule("SC5")
def test_either_side_gives_up_a_hold_or_a_booking_and_the_slot_is_free() -> None:
    reasons = {"c": CANCELLATION_REASON_CLIENT, "t": CANCELLATION_REASON_THERAPIST}
    for facts in ((HELD,), (HELD, CONFIRMED)):
        for person, reason in reasons.items():
            decision = CANCELLING.given(*facts).when(replace(CANCEL, asked_by=person)).then(cancelled(reason))
            assert (decision.releases, decision.cancelled_timers) == (RESOURCES, [HOLD_EXPIRES, SLOT_ENDS])


def test_what_is_over_is_not_cancelled_and_no_stranger_cancels() -> None:
    over = ((HELD, CONFIRMED, LAPSED), (HELD, CONFIRMED, STARTED, ENDED))
    for facts in ((HELD, EXPIRED), (HELD, CONFIRMED, STARTED), (HELD, CONFIRMED, cancelled()), *over):
        CANCELLING.given(*facts).when(CANCEL).refused("BOOKING_OVER", "booking_id")
    CANCELLING.given(HELD).when(replace(CANCEL, now=EXPIRES)).refused("BOOKING_OVER", "booking_id")
    CANCELLING.given(HELD, CONFIRMED).when(replace(CANCEL, now=ENDS)).refused("BOOKING_OVER", "booking_id")
    for facts in ((), (HELD, CONFIRMED)):
        CANCELLING.given(*facts).when(replace(CANCEL, asked_by="stranger")).refused("NOT_FOUND", "booking_id")
