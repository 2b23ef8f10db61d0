"""No two bookings of one person overlap, whatever the roles; no booking of a suspended person stands."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from tests.faults.checks.gates import Gates
from tests.faults.evidence import Evidence, Stored, utc
from tests.faults.history import History
from tests.faults.violation import Violation

ENDS = ("HoldExpired", "BookingCancelled")


@dataclass(slots=True)
class Slot:
    people: frozenset[str]
    starts_at: datetime
    ends_at: datetime
    expires_at: datetime | None  # while it is only held
    stands: bool = True

    def holds_at(self, at: datetime) -> bool:
        return self.stands and (self.expires_at is None or at < self.expires_at)

    def overlaps(self, other: "Slot") -> bool:
        return self.starts_at < other.ends_at and other.starts_at < self.ends_at


def slots(evidence: Evidence) -> Iterator[tuple[Stored, dict[str, Slot]]]:
    """Yields every fact of a booking with the bookings as they stand after it."""
    found: dict[str, Slot] = {}
    for row in evidence.facts("scheduling"):
        if not row.stream.startswith("booking-"):
            continue
        told, booking_id = row.payload, row.payload.booking_id
        if row.type == "SlotHeld":
            people = frozenset((told.client_id, told.therapist_id))
            found[booking_id] = Slot(people, utc(told.starts_at), utc(told.ends_at), utc(told.expires_at))
        elif row.type == "BookingConfirmed":
            found[booking_id].expires_at = None
        elif row.type == "BookingRestored":
            found[booking_id].stands, found[booking_id].expires_at = True, None
        elif row.type in ENDS:
            found[booking_id].stands = False
        yield row, found


def no_two_bookings_overlap(_: History, evidence: Evidence) -> Iterator[Violation]:
    for row, found in slots(evidence):
        if row.type not in ("SlotHeld", "BookingConfirmed", "BookingRestored"):
            continue
        asked = found[row.payload.booking_id]
        for booking_id, other in found.items():
            if other is asked or not other.holds_at(row.at) or not other.overlaps(asked):
                continue
            for person in sorted(asked.people & other.people):
                yield Violation("overlap", row.stream, f"{row.type}: {person} has {booking_id} at that time")


def a_hold_is_confirmed_in_time(_: History, evidence: Evidence) -> Iterator[Violation]:
    expiries: dict[str, tuple[datetime, datetime]] = {}
    for row in evidence.facts("scheduling", "SlotHeld", "BookingConfirmed"):
        if row.type == "SlotHeld":
            expiries[row.payload.booking_id] = (utc(row.payload.expires_at), utc(row.payload.starts_at))
        elif row.at >= min(expiries[row.payload.booking_id]):
            yield Violation("confirmed in time", row.stream, "confirmed after its hold expired, or its slot began")


def no_booking_of_a_suspended_person_stands(_: History, evidence: Evidence) -> Iterator[Violation]:
    gates, in_the_end = Gates(), {}
    for row in evidence.facts("scheduling"):
        gates.take(row)
    for _, found in slots(evidence):
        in_the_end = found
    for booking_id, slot in in_the_end.items():
        closed = [person for person in sorted(slot.people) if gates.is_closed(person, evidence.at)]
        if closed and slot.holds_at(evidence.at) and slot.starts_at > evidence.at:
            yield Violation("suspended and booked", booking_id, f"{closed[0]} is suspended and the booking stands")
