"""A booking: a slot held, confirmed, started or given up. Its stream claims the time of therapist and client."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import Enum
from typing import TypedDict, assert_never

from holdspace.scheduling.v1.events_pb2 import (
    CANCELLATION_REASON_AGE,
    CANCELLATION_REASON_CLIENT,
    CANCELLATION_REASON_SUSPENSION,
    CANCELLATION_REASON_THERAPIST,
    BookingCancelled,
    BookingConfirmed,
    BookingNotRestored,
    BookingRestored,
    CancellationReason,
    SessionStarted,
)
from holdspace.scheduling.v1.private_pb2 import HoldExpired, SlotHeld
from kernel.decision import Decision
from kernel.errors import Rejected
from kernel.facts import instant, timestamp
from kernel.gates import Gate
from kernel.store.interface import RangeClaim, Timer
from services.scheduling.domain.policy import BookingPolicy
from services.scheduling.domain.therapist import Therapist

HOLD_EXPIRES = "hold-expires"
NEVER = datetime.min.replace(tzinfo=UTC)
AGE_DECIDED = ("REVOKED", "UNDER_AGE")  # somebody decided it; every other state but ASSURED comes about by itself

Fact = (
    SlotHeld | HoldExpired | BookingConfirmed | BookingCancelled | BookingRestored | BookingNotRestored | SessionStarted
)


@dataclass(frozen=True, slots=True)
class HoldSlot:
    booking_id: str
    client_id: str
    therapist_id: str
    starts_at: datetime
    ends_at: datetime
    policy: BookingPolicy
    now: datetime


@dataclass(frozen=True, slots=True)
class ConfirmBooking:
    """`asked_by`: the person who asks. `client_id` and `therapist_id`: those of the booking."""

    booking_id: str
    asked_by: str
    client_id: str
    therapist_id: str
    now: datetime


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
class CancelBooking:
    booking_id: str
    asked_by: str
    now: datetime


@dataclass(frozen=True, slots=True)
class ExpireHold:
    booking_id: str
    now: datetime


class Status(Enum):
    NONE = "NONE"
    HELD = "HELD"
    CONFIRMED = "CONFIRMED"
    STARTED = "STARTED"
    EXPIRED = "EXPIRED"
    CANCELLED = "CANCELLED"


@dataclass(frozen=True, slots=True)
class Booking:
    """Nobody has asked for it while the status is NONE. `blocked_until`: the end with the therapist's buffer."""

    booking_id: str = ""
    client_id: str = ""
    therapist_id: str = ""
    starts_at: datetime = NEVER
    ends_at: datetime = NEVER
    blocked_until: datetime = NEVER
    hold_expires_at: datetime = NEVER
    status: Status = Status.NONE
    is_set_aside: bool = False  # confirmed and then cancelled by a suspension, with no lift so far

    def status_at(self, now: datetime) -> Status:
        """A hold is over at its time, whether or not its expiry has been noted."""
        over = self.status is Status.HELD and self.hold_expires_at <= now
        return Status.EXPIRED if over else self.status


def hold(
    command: HoldSlot, unknown: Booking, *, therapist: Therapist, client_standing: Gate, therapist_standing: Gate
) -> Decision:
    if command.client_id == command.therapist_id:
        raise Rejected("PAIR_OF_ONE", "therapist_id")
    if not therapist.is_enrolled:
        raise Rejected("THERAPIST_UNKNOWN", "therapist_id")
    must_be_in_standing(command.now, client_standing, therapist_standing)
    must_be_bookable(command, therapist)
    expires_at = command.now + command.policy.hold_for
    held = SlotHeld(
        **parties(command),
        starts_at=timestamp(command.starts_at),
        ends_at=timestamp(command.ends_at),
        blocked_until=timestamp(command.ends_at + command.policy.buffer),
        expires_at=timestamp(expires_at),
    )
    slot = evolve(unknown, held, command.now)
    return Decision([held], claims=claims(slot, expires_at), timers=[Timer(HOLD_EXPIRES, expires_at)])


def must_be_bookable(command: HoldSlot, therapist: Therapist) -> None:
    for field, edge in (("starts_at", command.starts_at), ("ends_at", command.ends_at)):
        if edge.second or edge.microsecond:
            raise Rejected("FIELD_MALFORMED", field)
    if not command.policy.shortest <= command.ends_at - command.starts_at <= command.policy.longest:
        raise Rejected("SLOT_LENGTH", "ends_at")
    if command.starts_at <= command.now:
        raise Rejected("SLOT_IN_PAST", "starts_at")
    if command.starts_at > command.now + command.policy.furthest:
        raise Rejected("SLOT_TOO_FAR", "starts_at")
    if not therapist.hours.cover(command.starts_at, command.ends_at):
        raise Rejected("OUTSIDE_CONTACT_HOURS", "starts_at")


def must_be_in_standing(now: datetime, client: Gate, therapist: Gate) -> None:
    if client.closed_at(now):
        raise Rejected("CLIENT_SUSPENDED")
    if therapist.closed_at(now):
        raise Rejected("THERAPIST_SUSPENDED")


def confirm(command: ConfirmBooking, booking: Booking, *, client: Gate, therapist: Gate, age: Gate) -> Decision:
    """`client` and `therapist`: the standing of the two; `age`: of the client."""
    if command.asked_by != booking.client_id:
        raise Rejected("NOT_FOUND", "booking_id")
    status = booking.status_at(command.now)
    if status is Status.EXPIRED:
        raise Rejected("HOLD_EXPIRED", "booking_id")
    if status is not Status.HELD:
        raise Rejected("BOOKING_NOT_HELD", "booking_id")
    if booking.starts_at <= command.now:
        raise Rejected("SLOT_IN_PAST", "booking_id")
    for gate in (client, therapist, age):
        gate.must_be_fresh()
    must_be_in_standing(command.now, client, therapist)
    if age.at(command.now) != "ASSURED":
        raise Rejected("AGE_NOT_ASSURED")
    confirmed = BookingConfirmed(
        **parties(booking), starts_at=timestamp(booking.starts_at), ends_at=timestamp(booking.ends_at)
    )
    return Decision([confirmed], releases=resources(booking), claims=claims(booking), cancelled_timers=[HOLD_EXPIRES])


def start(command: StartSession, booking: Booking, *, client: Gate, therapist: Gate, age: Gate) -> Decision:
    """As `confirm`. A booking is cancelled for its client's age only on what is known: a decision, however long ago it
    was copied, or a result that is missing or over by a fresh copy.
    """
    must_take_part(command.asked_by, booking)
    if booking.status is Status.STARTED:
        return Decision()  # The other side was first.
    if booking.status is not Status.CONFIRMED:
        raise Rejected("BOOKING_NOT_CONFIRMED", "booking_id")
    if not booking.starts_at - command.policy.start_early <= command.now < booking.ends_at:
        raise Rejected("SESSION_NOT_DUE", "booking_id")
    must_be_in_standing(command.now, client, therapist)
    state = age.at(command.now)
    if state == "ASSURED":
        return Decision([SessionStarted(**parties(booking))])
    if state not in AGE_DECIDED:
        age.must_be_fresh()  # It may have been renewed meanwhile.
    return cancelled(booking, CANCELLATION_REASON_AGE)


def cancel(command: CancelBooking, booking: Booking) -> Decision:
    must_take_part(command.asked_by, booking)
    is_open = booking.status_at(command.now) in (Status.HELD, Status.CONFIRMED)
    if not is_open or booking.ends_at <= command.now:
        raise Rejected("BOOKING_OVER", "booking_id")
    by_client = command.asked_by == booking.client_id
    return cancelled(booking, CANCELLATION_REASON_CLIENT if by_client else CANCELLATION_REASON_THERAPIST)


def must_take_part(person: str, booking: Booking) -> None:
    if person not in (booking.client_id, booking.therapist_id):
        raise Rejected("NOT_FOUND", "booking_id")


def cancelled(booking: Booking, reason: CancellationReason.ValueType) -> Decision:
    return Decision(
        [BookingCancelled(**parties(booking), reason=reason)],
        releases=resources(booking),
        cancelled_timers=[HOLD_EXPIRES],
    )


def expire(command: ExpireHold, booking: Booking) -> Decision:
    if booking.status is not Status.HELD or booking.status_at(command.now) is not Status.EXPIRED:
        return Decision()
    return Decision([HoldExpired(**parties(booking))], releases=resources(booking), cancelled_timers=[HOLD_EXPIRES])


def claims(slot: Booking, expires_at: datetime | None = None) -> list[RangeClaim]:
    of_therapist, of_client = resources(slot)
    return [
        RangeClaim(of_therapist, slot.starts_at, slot.blocked_until, expires_at),
        RangeClaim(of_client, slot.starts_at, slot.ends_at, expires_at),
    ]


def resources(slot: Booking) -> tuple[str, str]:
    """Returns what has time to be claimed: the therapist's and the client's."""
    return therapist_resource(slot.therapist_id), client_resource(slot.client_id)


def therapist_resource(therapist_id: str) -> str:
    return f"therapist/{therapist_id}"


def client_resource(client_id: str) -> str:
    return f"client/{client_id}"


class Parties(TypedDict):
    booking_id: str
    client_id: str
    therapist_id: str


def parties(of: HoldSlot | Booking) -> Parties:
    return Parties(booking_id=of.booking_id, client_id=of.client_id, therapist_id=of.therapist_id)


def evolve(booking: Booking, fact: Fact, at: datetime) -> Booking:
    match fact:
        case SlotHeld():
            return replace(
                booking,
                booking_id=fact.booking_id,
                client_id=fact.client_id,
                therapist_id=fact.therapist_id,
                starts_at=instant(fact.starts_at),
                ends_at=instant(fact.ends_at),
                blocked_until=instant(fact.blocked_until),
                hold_expires_at=instant(fact.expires_at),
                status=Status.HELD,
            )
        case HoldExpired():
            return replace(booking, status=Status.EXPIRED)
        case BookingConfirmed():
            return replace(booking, status=Status.CONFIRMED)
        case BookingCancelled():
            was_confirmed = booking.status is Status.CONFIRMED
            is_set_aside = was_confirmed and fact.reason == CANCELLATION_REASON_SUSPENSION
            return replace(booking, status=Status.CANCELLED, is_set_aside=is_set_aside)
        case BookingRestored():
            return replace(booking, status=Status.CONFIRMED, is_set_aside=False)
        case BookingNotRestored():
            return replace(booking, is_set_aside=False)
        case SessionStarted():
            return replace(booking, status=Status.STARTED)
        case _:
            assert_never(fact)
