"""What a client's suspension takes from their bookings, and what a lift gives back.

The client's stream notes which bookings were ahead when the suspension came; each is then cancelled in its own stream.
A lift takes all of them up: those that were confirmed are restored, or it is stated that they cannot be.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import assert_never

from holdspace.scheduling.v1.events_pb2 import CANCELLATION_REASON_SUSPENSION, BookingNotRestored, BookingRestored
from holdspace.scheduling.v1.private_pb2 import BookingsSetAside, BookingsTakenUp
from kernel.decision import Decision
from kernel.errors import Rejected
from kernel.gates import Gate
from services.scheduling.domain.booking import Booking, Status, cancelled, claims, parties

BOOKINGS_OF_A_FACT_MAX = 500  # which keeps it far below the largest fact the platform carries

Fact = BookingsSetAside | BookingsTakenUp


@dataclass(frozen=True, slots=True)
class SetBookingsAside:
    client_id: str
    booking_ids: tuple[str, ...]  # holds and bookings that were ahead when the suspension was decided
    now: datetime


@dataclass(frozen=True, slots=True)
class TakeBookingsUp:
    client_id: str
    now: datetime


@dataclass(frozen=True, slots=True)
class CancelForSuspension:
    booking_id: str
    client_id: str
    now: datetime


@dataclass(frozen=True, slots=True)
class RestoreBooking:
    booking_id: str
    client_id: str
    now: datetime


@dataclass(frozen=True, slots=True)
class GiveUpRestoring:
    """Comes after RestoreBooking and tells what that one could not do."""

    booking_id: str
    now: datetime


@dataclass(frozen=True, slots=True)
class SuspendedBookings:
    """Those of one client since the last lift. A suspension that only lapses keeps them for a lift still to come."""

    booking_ids: frozenset[str] = frozenset()


def set_aside(command: SetBookingsAside, _: SuspendedBookings, *, standing: Gate) -> Decision:
    if not standing.last_known_closed_at(command.now):
        return Decision()  # The suspension is over before it took anything.
    ids = command.booking_ids
    return Decision([BookingsSetAside(client_id=command.client_id, booking_ids=some) for some in _parts(ids)])


def take_up(command: TakeBookingsUp, suspended: SuspendedBookings, *, standing: Gate) -> Decision:
    if standing.last_known_closed_at(command.now):
        return Decision()  # Suspended again; the next lift takes them up.
    ids = sorted(suspended.booking_ids)
    return Decision([BookingsTakenUp(client_id=command.client_id, booking_ids=some) for some in _parts(ids)])


def _parts(ids: Sequence[str]) -> list[Sequence[str]]:
    return [ids[first : first + BOOKINGS_OF_A_FACT_MAX] for first in range(0, len(ids), BOOKINGS_OF_A_FACT_MAX)]


def cancel_for_suspension(command: CancelForSuspension, booking: Booking, *, standing: Gate) -> Decision:
    is_open = booking.status_at(command.now) in (Status.HELD, Status.CONFIRMED)
    if not is_open or not standing.last_known_closed_at(command.now):
        return Decision()
    return cancelled(booking, CANCELLATION_REASON_SUSPENSION)


def restore(command: RestoreBooking, booking: Booking, *, standing: Gate) -> Decision:
    """What stands in its way is a rejection: the slot has begun, it is taken, or the client is suspended again."""
    if not booking.is_set_aside:
        return Decision()
    if booking.starts_at <= command.now:
        raise Rejected("SLOT_IN_PAST", "booking_id")
    if standing.last_known_closed_at(command.now):
        raise Rejected("CLIENT_SUSPENDED", "client_id")
    return Decision([BookingRestored(**parties(booking))], claims=claims(booking))


def give_up_restoring(_: GiveUpRestoring, booking: Booking) -> Decision:
    return Decision([BookingNotRestored(**parties(booking))] if booking.is_set_aside else [])


def evolve(suspended: SuspendedBookings, fact: Fact, at: datetime) -> SuspendedBookings:
    match fact:
        case BookingsSetAside():
            return replace(suspended, booking_ids=suspended.booking_ids | set(fact.booking_ids))
        case BookingsTakenUp():
            return replace(suspended, booking_ids=suspended.booking_ids - set(fact.booking_ids))
        case _:
            assert_never(fact)
