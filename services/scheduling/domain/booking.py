"""A booking: a slot held, confirmed, started or given up. Its stream claims the time of both persons."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import Enum
from typing import TypedDict, assert_never

from holdspace.scheduling.v1.events_pb2 import (
    CANCELLATION_REASON_CLIENT,
    CANCELLATION_REASON_THERAPIST,
    BookingCancelled,
    BookingConfirmed,
    BookingLapsed,
    BookingNotRestored,
    BookingRestored,
    CancellationReason,
    SessionEnded,
    SessionStarted,
)
from holdspace.scheduling.v1.private_pb2 import HoldExpired, RestorationPostponed, SlotHeld
from kernel.decision import Decision
from kernel.errors import Rejected
from kernel.facts import instant, timestamp
from kernel.gates import Gate
from kernel.store.interface import RangeClaim, Timer
from services.scheduling.domain.policy import HOLDS_MAX, BookingPolicy
from services.scheduling.domain.therapist import Therapist

HOLD_EXPIRES, SLOT_ENDS = "hold-expires", "slot-ends"
HOLDS = "hold/"  # how the names of places among a client's holds begin
NEVER = datetime.min.replace(tzinfo=UTC)

Fact = (
    SlotHeld
    | HoldExpired
    | BookingConfirmed
    | BookingCancelled
    | RestorationPostponed
    | BookingRestored
    | BookingNotRestored
    | SessionStarted
    | SessionEnded
    | BookingLapsed
)


@dataclass(frozen=True, slots=True)
class HoldSlot:
    """`place`: of the HOLDS_MAX that the client's open holds may have, the one this hold is to have, from 1 on."""

    booking_id: str
    client_id: str
    therapist_id: str
    starts_at: datetime
    ends_at: datetime
    policy: BookingPolicy
    now: datetime
    place: int = 1


@dataclass(frozen=True, slots=True)
class ConfirmBooking:
    """`asked_by`: the person who asks. `client_id` and `therapist_id`: those of the booking."""

    booking_id: str
    asked_by: str
    client_id: str
    therapist_id: str
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
    ENDED = "ENDED"  # the session was started, and its time is over
    LAPSED = "LAPSED"  # nobody started the session, and its time is over


OVER = {Status.CONFIRMED: Status.LAPSED, Status.STARTED: Status.ENDED}


@dataclass(frozen=True, slots=True)
class Booking:
    """Nobody has asked for it while the status is NONE. `blocked_until`: the end with the therapist's buffer.

    `set_aside_for`: the suspended parties whose lift may restore it. `postponed`: the last attempt to, which found a
    party suspended.
    """

    booking_id: str = ""
    client_id: str = ""
    therapist_id: str = ""
    starts_at: datetime = NEVER
    ends_at: datetime = NEVER
    blocked_until: datetime = NEVER
    hold_expires_at: datetime = NEVER
    status: Status = Status.NONE
    set_aside_for: frozenset[str] = frozenset()
    postponed: str = ""

    def status_at(self, now: datetime) -> Status:
        """A hold, a booking and a session are over at their time, whether or not that has been noted."""
        if self.status is Status.HELD and self.hold_expires_at <= now:
            return Status.EXPIRED
        return OVER.get(self.status, self.status) if self.ends_at <= now else self.status


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
    # The range ends with the hold, so one that is over leaves its place to the next whether or not its end was noted.
    place = RangeClaim(hold_place(command.client_id, command.place), command.now, expires_at)
    return Decision([held], claims=[*claims(slot, expires_at), place], timers=[Timer(HOLD_EXPIRES, expires_at)])


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
    return Decision(
        [confirmed],
        releases=resources(booking),
        claims=claims(booking),
        timers=[Timer(SLOT_ENDS, booking.ends_at)],
        cancelled_timers=[HOLD_EXPIRES],
    )


def cancel(command: CancelBooking, booking: Booking) -> Decision:
    must_take_part(command.asked_by, booking)
    is_open = booking.status_at(command.now) in (Status.HELD, Status.CONFIRMED)
    if not is_open or booking.ends_at <= command.now:
        raise Rejected("BOOKING_OVER", "booking_id")
    by_client = command.asked_by == booking.client_id
    reason = CANCELLATION_REASON_CLIENT if by_client else CANCELLATION_REASON_THERAPIST
    return cancelled(booking, reason, command.asked_by)


def must_take_part(person: str, booking: Booking) -> None:
    if person not in (booking.client_id, booking.therapist_id):
        raise Rejected("NOT_FOUND", "booking_id")


def cancelled(
    booking: Booking, reason: CancellationReason.ValueType, person_id: str, *, set_aside: bool = False
) -> Decision:
    return Decision(
        [BookingCancelled(**parties(booking), reason=reason, person_id=person_id, set_aside=set_aside)],
        releases=resources(booking),
        cancelled_timers=[HOLD_EXPIRES, SLOT_ENDS],
    )


def expire(command: ExpireHold, booking: Booking) -> Decision:
    if booking.status is not Status.HELD or booking.status_at(command.now) is not Status.EXPIRED:
        return Decision()
    return Decision([HoldExpired(**parties(booking))], releases=resources(booking), cancelled_timers=[HOLD_EXPIRES])


def claims(slot: Booking, expires_at: datetime | None = None) -> list[RangeClaim]:
    return [
        RangeClaim(person_resource(slot.therapist_id), slot.starts_at, slot.blocked_until, expires_at),
        RangeClaim(person_resource(slot.client_id), slot.starts_at, slot.ends_at, expires_at),
    ]


def resources(slot: Booking) -> tuple[str, ...]:
    """Returns all that a booking may hold: the time of both, and a place among the client's holds."""
    places = (hold_place(slot.client_id, place) for place in range(1, HOLDS_MAX + 1))
    return (person_resource(slot.therapist_id), person_resource(slot.client_id), *places)


def person_resource(person_id: str) -> str:
    """Names a person's time. It is one, whether they are the therapist or the client."""
    return f"person/{person_id}"


def hold_place(client_id: str, place: int) -> str:
    return f"{HOLDS}{client_id}/{place}"


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
            set_aside_for = frozenset({fact.person_id}) if fact.set_aside else frozenset()
            return replace(booking, status=Status.CANCELLED, set_aside_for=set_aside_for)
        case RestorationPostponed():
            waits_for = (booking.set_aside_for - {fact.person_id}).union(fact.waits_for_ids)
            return replace(booking, set_aside_for=waits_for, postponed=fact.attempt_id)
        case BookingRestored():
            return replace(booking, status=Status.CONFIRMED, set_aside_for=frozenset())
        case BookingNotRestored():
            return replace(booking, set_aside_for=frozenset())
        case SessionStarted():
            return replace(booking, status=Status.STARTED)
        case SessionEnded():
            return replace(booking, status=Status.ENDED)
        case BookingLapsed():
            return replace(booking, status=Status.LAPSED)
        case _:
            assert_never(fact)
