"""Scheduling's facts as rows: therapists with their contact hours, and bookings."""

from collections.abc import Callable
from pathlib import Path

from holdspace.kernel.v1.gate_pb2 import GateCopied
from holdspace.scheduling.v1.events_pb2 import (
    CANCELLATION_REASON_UNSPECIFIED,
    BookingCancelled,
    BookingConfirmed,
    BookingNotRestored,
    BookingRestored,
    ContactHoursPublished,
    SessionStarted,
    TherapistEnrolled,
)
from holdspace.scheduling.v1.private_pb2 import BookingsSetAside, BookingsTakenUp, HoldExpired, SlotHeld
from holdspace.scheduling.v1.service_pb2 import (
    BOOKING_STATUS_CANCELLED,
    BOOKING_STATUS_CONFIRMED,
    BOOKING_STATUS_EXPIRED,
    BOOKING_STATUS_HELD,
    BOOKING_STATUS_STARTED,
    BookingStatus,
)
from kernel.facts import instant
from kernel.own_facts import OwnFact
from kernel.read_model import ReadModel, Write
from kernel.sql import queries

HERE = Path(__file__).parent


def hours_row(fact: OwnFact, published: ContactHoursPublished) -> tuple[object, ...]:
    return (
        published.therapist_id,
        published.time_zone,
        [weekly.weekday for weekly in published.ranges],
        [weekly.start_minute for weekly in published.ranges],
        [weekly.end_minute for weekly in published.ranges],
        fact.occurred_at,
    )


def held_row(_: OwnFact, held: SlotHeld) -> tuple[object, ...]:
    return (
        held.booking_id,
        held.client_id,
        held.therapist_id,
        instant(held.starts_at),
        instant(held.ends_at),
        instant(held.expires_at),
        BOOKING_STATUS_HELD,
    )


def becomes(
    status: BookingStatus.ValueType,
) -> Callable[[OwnFact, HoldExpired | BookingConfirmed | BookingRestored | SessionStarted], tuple[object, ...]]:
    return lambda _, fact: (fact.booking_id, status, CANCELLATION_REASON_UNSPECIFIED)


READ_MODEL = ReadModel(
    tables=HERE / "read_model.sql",
    statements=queries(HERE / "projections.sql"),
    writes={
        TherapistEnrolled: [Write("enrol", lambda _, enrolled: (enrolled.therapist_id,))],
        ContactHoursPublished: [Write("publish_hours", hours_row)],
        SlotHeld: [Write("hold", held_row)],
        HoldExpired: [Write("set_status", becomes(BOOKING_STATUS_EXPIRED))],
        BookingConfirmed: [Write("set_status", becomes(BOOKING_STATUS_CONFIRMED))],
        BookingCancelled: [
            Write("set_status", lambda _, fact: (fact.booking_id, BOOKING_STATUS_CANCELLED, fact.reason))
        ],
        BookingRestored: [Write("set_status", becomes(BOOKING_STATUS_CONFIRMED))],
        SessionStarted: [Write("set_status", becomes(BOOKING_STATUS_STARTED))],
    },
    ignores=[GateCopied, BookingNotRestored, BookingsSetAside, BookingsTakenUp],
)
