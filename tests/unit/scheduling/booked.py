"""What tests of bookings start from: one slot of one client with one therapist."""

from datetime import timedelta

from holdspace.scheduling.v1.events_pb2 import (
    CANCELLATION_REASON_SUSPENSION,
    CANCELLATION_REASON_THERAPIST,
    CANCELLATION_REASON_THERAPIST_UNAVAILABLE,
    WEEKDAY_MONDAY,
    BookingCancelled,
    BookingConfirmed,
    BookingLapsed,
    BookingNotRestored,
    BookingRestored,
    CancellationReason,
    SessionEnded,
    SessionStarted,
)
from holdspace.scheduling.v1.private_pb2 import HoldExpired, SlotHeld
from kernel.facts import timestamp
from kernel.gates import Gate
from kernel.store.interface import RangeClaim
from services.scheduling.domain.contact_hours import ContactHours, Weekly
from services.scheduling.domain.policy import BookingPolicy
from services.scheduling.domain.therapist import Therapist
from tests.gates import gate
from tests.sentences import START

MINUTE = timedelta(minutes=1)
POLICY = BookingPolicy()
STARTS = START + timedelta(hours=2)
ENDS = STARTS + 50 * MINUTE
BLOCKED = ENDS + POLICY.buffer
EXPIRES = START + POLICY.hold_for

PARTIES = {"booking_id": "b", "client_id": "c", "therapist_id": "t"}
SLOT = {"starts_at": timestamp(STARTS), "ends_at": timestamp(ENDS)}
HELD = SlotHeld(**PARTIES, **SLOT, blocked_until=timestamp(BLOCKED), expires_at=timestamp(EXPIRES))
EXPIRED = HoldExpired(**PARTIES)
CONFIRMED = BookingConfirmed(**PARTIES, **SLOT)
STARTED = SessionStarted(**PARTIES)
ENDED = SessionEnded(**PARTIES)
LAPSED = BookingLapsed(**PARTIES)
RESTORED = BookingRestored(**PARTIES, person_id="c")
NOT_RESTORED = BookingNotRestored(**PARTIES, person_id="c", lift_version=7)

RESOURCES = ("person/t", "person/c", "hold/c/1", "hold/c/2", "hold/c/3")
CLAIMS = [RangeClaim("person/t", STARTS, BLOCKED), RangeClaim("person/c", STARTS, ENDS)]

WORKS = Therapist(True, ContactHours("UTC", (Weekly(WEEKDAY_MONDAY, 9 * 60, 17 * 60),)))
GOOD = Gate()
BRAKED = gate("BRAKED")
SUSPENDED = gate("SUSPENDED", START + timedelta(days=1), ("GOOD", None))
BANNED = gate("BANNED")
ASSURED = gate("ASSURED", START + timedelta(days=365), ("EXPIRED", None))
UNASSURED = {
    "unknown": Gate(),
    "expired": gate("ASSURED", START, ("EXPIRED", None)),
    "revoked": gate("REVOKED"),
    "under age": gate("UNDER_AGE"),
}


def cancelled(
    reason: CancellationReason.ValueType = CANCELLATION_REASON_SUSPENSION, set_aside: bool = True
) -> BookingCancelled:
    """A suspension's reason sets it aside, unless it was a hold."""
    of_therapist = reason in (CANCELLATION_REASON_THERAPIST, CANCELLATION_REASON_THERAPIST_UNAVAILABLE)
    suspended = reason in (CANCELLATION_REASON_SUSPENSION, CANCELLATION_REASON_THERAPIST_UNAVAILABLE)
    return BookingCancelled(
        **PARTIES, reason=reason, person_id="t" if of_therapist else "c", set_aside=set_aside and suspended
    )
