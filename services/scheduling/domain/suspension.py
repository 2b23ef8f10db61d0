"""What a person's suspension takes from their bookings, in whichever part they have, and what a lift gives back.

The person's stream notes which bookings were ahead when the suspension came; each is then cancelled in its own stream.
A lift takes all of them up: those that were confirmed are restored when both parties may, or wait for the lift of the
other, or it is stated that they cannot be.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import assert_never

from holdspace.scheduling.v1.events_pb2 import (
    CANCELLATION_REASON_SUSPENSION,
    CANCELLATION_REASON_THERAPIST_UNAVAILABLE,
    BookingNotRestored,
    BookingRestored,
)
from holdspace.scheduling.v1.private_pb2 import BookingsSetAside, BookingsTakenUp, RestorationPostponed
from kernel.decision import Decision
from kernel.errors import Rejected
from kernel.gates import Gate
from kernel.store.interface import Timer
from services.scheduling.domain.booking import SLOT_ENDS, Booking, Status, cancelled, claims, parties
from services.scheduling.domain.therapist import Therapist

BOOKINGS_OF_A_FACT_MAX = 500  # which keeps it far below the largest fact the platform carries

Fact = BookingsSetAside | BookingsTakenUp


@dataclass(frozen=True, slots=True)
class SetBookingsAside:
    person_id: str
    booking_ids: tuple[str, ...]  # holds and bookings that were not over when the suspension was decided
    now: datetime


@dataclass(frozen=True, slots=True)
class KeepAside:
    """A booking that is cancelled already is to wait for this person's lift."""

    person_id: str
    booking_id: str
    now: datetime


@dataclass(frozen=True, slots=True)
class TakeBookingsUp:
    person_id: str
    lift_version: int  # of the lift, in its source's stream
    now: datetime


@dataclass(frozen=True, slots=True)
class CancelForSuspension:
    booking_id: str
    person_id: str
    now: datetime


@dataclass(frozen=True, slots=True)
class RestoreBooking:
    """`person_id`: whose lift it follows from; the other two are those of the booking. `attempt`: names this one."""

    booking_id: str
    person_id: str
    client_id: str
    therapist_id: str
    attempt: str
    now: datetime


@dataclass(frozen=True, slots=True)
class GiveUpRestoring:
    """Comes after RestoreBooking, with the same attempt, and tells what that one could not do."""

    booking_id: str
    person_id: str
    lift_version: int
    attempt: str
    now: datetime


@dataclass(frozen=True, slots=True)
class SuspendedBookings:
    """Those of one person since the last lift. A suspension that only lapses keeps them for a lift still to come."""

    booking_ids: frozenset[str] = frozenset()


def set_aside(command: SetBookingsAside, _: SuspendedBookings, *, standing: Gate) -> Decision:
    if not standing.last_known_closed_at(command.now):
        return Decision()  # The suspension is over before it took anything.
    ids = command.booking_ids
    return Decision([BookingsSetAside(person_id=command.person_id, booking_ids=some) for some in _parts(ids)])


def keep_aside(command: KeepAside, suspended: SuspendedBookings) -> Decision:
    """Whether or not the suspension is over meanwhile: its lift is still to be carried out."""
    if command.booking_id in suspended.booking_ids:
        return Decision()
    return Decision([BookingsSetAside(person_id=command.person_id, booking_ids=[command.booking_id])])


def take_up(command: TakeBookingsUp, suspended: SuspendedBookings, *, standing: Gate) -> Decision:
    if standing.last_known_closed_at(command.now):
        return Decision()  # Suspended again; the next lift takes them up.
    return Decision(
        [
            BookingsTakenUp(person_id=command.person_id, booking_ids=some, lift_version=command.lift_version)
            for some in _parts(sorted(suspended.booking_ids))
        ]
    )


def _parts(ids: Sequence[str]) -> list[Sequence[str]]:
    return [ids[first : first + BOOKINGS_OF_A_FACT_MAX] for first in range(0, len(ids), BOOKINGS_OF_A_FACT_MAX)]


def cancel_for_suspension(command: CancelForSuspension, booking: Booking, *, standing: Gate) -> Decision:
    is_open = booking.status_at(command.now) in (Status.HELD, Status.CONFIRMED)
    if not is_open or not standing.last_known_closed_at(command.now):
        return Decision()
    gives = command.person_id == booking.therapist_id
    reason = CANCELLATION_REASON_THERAPIST_UNAVAILABLE if gives else CANCELLATION_REASON_SUSPENSION
    return cancelled(booking, reason, command.person_id, set_aside=booking.status is Status.CONFIRMED)


def restore(
    command: RestoreBooking, booking: Booking, *, client: Gate, therapist: Gate, enrolment: Therapist
) -> Decision:
    """A slot that has begun or is taken, or a therapist who is enrolled no more, stands in its way for good, and is a
    rejection. A suspension of either party only postpones it: that one's lift will find it.
    """
    if command.person_id not in booking.set_aside_for:
        return Decision()
    if booking.starts_at <= command.now:
        raise Rejected("SLOT_IN_PAST", "booking_id")
    if not enrolment.is_enrolled:
        raise Rejected("THERAPIST_UNKNOWN", "booking_id")
    both = ((booking.client_id, client), (booking.therapist_id, therapist))
    person = command.person_id
    if suspended := [each for each, standing in both if standing.last_known_closed_at(command.now)]:
        postponed = RestorationPostponed(
            **parties(booking), person_id=person, waits_for_ids=suspended, attempt_id=command.attempt
        )
        return Decision([postponed])
    restored = BookingRestored(**parties(booking), person_id=person)
    return Decision([restored], claims=claims(booking), timers=[Timer(SLOT_ENDS, booking.ends_at)])


def give_up_restoring(command: GiveUpRestoring, booking: Booking) -> Decision:
    if command.person_id not in booking.set_aside_for or booking.postponed == command.attempt:
        return Decision()
    lost = BookingNotRestored(**parties(booking), lift_version=command.lift_version, person_id=command.person_id)
    return Decision([lost])


def evolve(suspended: SuspendedBookings, fact: Fact, at: datetime) -> SuspendedBookings:
    match fact:
        case BookingsSetAside():
            return replace(suspended, booking_ids=suspended.booking_ids | set(fact.booking_ids))
        case BookingsTakenUp():
            return replace(suspended, booking_ids=suspended.booking_ids - set(fact.booking_ids))
        case _:
            assert_never(fact)
