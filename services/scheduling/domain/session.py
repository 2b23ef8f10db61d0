"""A session: either side starts it within its slot, and it is over with the slot, whether or not anybody did."""

from dataclasses import dataclass
from datetime import datetime

from holdspace.scheduling.v1.events_pb2 import CANCELLATION_REASON_AGE, BookingLapsed, SessionEnded, SessionStarted
from kernel.decision import Decision
from kernel.errors import Rejected
from kernel.gates import Gate
from kernel.store.interface import Timer
from services.scheduling.domain.booking import (
    SLOT_ENDS,
    Booking,
    Status,
    cancelled,
    must_be_in_standing,
    must_take_part,
    parties,
    resources,
)
from services.scheduling.domain.policy import BookingPolicy

AGE_DECIDED = ("REVOKED", "UNDER_AGE")  # somebody decided it; every other state but ASSURED comes about by itself


@dataclass(frozen=True, slots=True)
class StartSession:
    """`asked_by`: the person who asks. `client_id` and `therapist_id`: those of the booking."""

    booking_id: str
    asked_by: str
    client_id: str
    therapist_id: str
    policy: BookingPolicy
    now: datetime


@dataclass(frozen=True, slots=True)
class EndSlot:
    booking_id: str
    now: datetime


def start(command: StartSession, booking: Booking, *, client: Gate, therapist: Gate, age: Gate) -> Decision:
    """Reads what `confirm` reads. A booking is cancelled for its client's age only on what is known: a decision,
    however long ago it was copied, or a result that is missing or over by a fresh copy.
    """
    must_take_part(command.asked_by, booking)
    status = booking.status_at(command.now)
    if status is Status.STARTED:
        return Decision()  # The other side was first.
    if status in (Status.ENDED, Status.LAPSED):
        raise Rejected("SESSION_NOT_DUE", "booking_id")
    if status is not Status.CONFIRMED:
        raise Rejected("BOOKING_NOT_CONFIRMED", "booking_id")
    if command.now < booking.starts_at - command.policy.start_early:
        raise Rejected("SESSION_NOT_DUE", "booking_id")
    must_be_in_standing(command.now, client, therapist)
    state = age.at(command.now)
    if state == "ASSURED":
        return Decision([SessionStarted(**parties(booking))])
    if state not in AGE_DECIDED:
        age.must_be_fresh()  # It may have been renewed meanwhile.
    return cancelled(booking, CANCELLATION_REASON_AGE, booking.client_id)


def end(command: EndSlot, booking: Booking) -> Decision:
    """The therapist's buffer stays taken until it is over too."""
    over = booking.status_at(command.now)
    if over not in (Status.ENDED, Status.LAPSED):
        return Decision()
    ended = SessionEnded if over is Status.ENDED else BookingLapsed
    facts = [] if over is booking.status else [ended(**parties(booking))]
    if command.now < booking.blocked_until:
        return Decision(facts, timers=[Timer(SLOT_ENDS, booking.blocked_until)])
    return Decision(facts, releases=resources(booking))
