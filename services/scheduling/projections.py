"""Scheduling's facts as rows: therapists with their contact hours, and bookings."""

from collections.abc import Callable
from operator import attrgetter
from pathlib import Path

from holdspace.kernel.v1.gate_pb2 import GateCopied
from holdspace.scheduling.v1.events_pb2 import (
    CANCELLATION_REASON_UNSPECIFIED,
    BookingCancelled,
    BookingConfirmed,
    BookingLapsed,
    BookingNotRestored,
    BookingRestored,
    ContactHoursPublished,
    EnrolmentWithdrawn,
    SessionEnded,
    SessionStarted,
    TherapistEnrolled,
)
from holdspace.scheduling.v1.private_pb2 import (
    BookingsSetAside,
    BookingsTakenUp,
    HoldExpired,
    RestorationPostponed,
    SlotHeld,
)
from holdspace.scheduling.v1.service_pb2 import (
    BOOKING_STATUS_CANCELLED,
    BOOKING_STATUS_CONFIRMED,
    BOOKING_STATUS_ENDED,
    BOOKING_STATUS_EXPIRED,
    BOOKING_STATUS_HELD,
    BOOKING_STATUS_LAPSED,
    BOOKING_STATUS_STARTED,
    BookingStatus,
)
from kernel.facts import instant
from kernel.gate_copies import GATE_STATEMENTS, GATE_TABLES, GATE_WRITES
from kernel.projected import Add, Each, Last
from kernel.read_model import ReadModel
from kernel.replay import StoredFact
from kernel.sql import queries

HERE = Path(__file__).parent

BOOKING = ("booking_id", "client_id", "therapist_id", "starts_at", "ends_at", "hold_expires_at", "status")
BY_BOOKING = attrgetter("booking_id")


def hours_row(fact: StoredFact, published: ContactHoursPublished) -> tuple[object, ...]:
    return (
        published.therapist_id,
        published.time_zone,
        [weekly.weekday for weekly in published.ranges],
        [weekly.start_minute for weekly in published.ranges],
        [weekly.end_minute for weekly in published.ranges],
        fact.occurred_at,
    )


def held_row(_: StoredFact, held: SlotHeld) -> tuple[object, ...]:
    return (
        held.booking_id,
        held.client_id,
        held.therapist_id,
        instant(held.starts_at),
        instant(held.ends_at),
        instant(held.expires_at),
        BOOKING_STATUS_HELD,
    )


Passes = HoldExpired | BookingConfirmed | BookingRestored | SessionStarted | SessionEnded | BookingLapsed


def becomes(status: BookingStatus.ValueType) -> Callable[[StoredFact, Passes], tuple[object, ...]]:
    return lambda _, fact: (fact.booking_id, status, CANCELLATION_REASON_UNSPECIFIED)


READ_MODEL = ReadModel(
    revision=5,
    tables=[HERE / "read_model.sql", GATE_TABLES],
    indexes=HERE / "read_model_indexes.sql",
    statements={**queries(HERE / "projections.sql"), **GATE_STATEMENTS},
    writes={
        GateCopied: GATE_WRITES,
        TherapistEnrolled: [Each("enrol", lambda _, enrolled: (enrolled.therapist_id,))],
        EnrolmentWithdrawn: [Each("withdraw", lambda _, withdrawn: (withdrawn.therapist_id,))],
        ContactHoursPublished: [Each("publish_hours", hours_row)],
        SlotHeld: [Add("bookings", BOOKING, held_row)],
        HoldExpired: [Last("set_status", BY_BOOKING, becomes(BOOKING_STATUS_EXPIRED))],
        BookingConfirmed: [Last("set_status", BY_BOOKING, becomes(BOOKING_STATUS_CONFIRMED))],
        BookingCancelled: [
            Last("set_status", BY_BOOKING, lambda _, fact: (fact.booking_id, BOOKING_STATUS_CANCELLED, fact.reason))
        ],
        BookingRestored: [Last("set_status", BY_BOOKING, becomes(BOOKING_STATUS_CONFIRMED))],
        SessionStarted: [Last("set_status", BY_BOOKING, becomes(BOOKING_STATUS_STARTED))],
        SessionEnded: [Last("set_status", BY_BOOKING, becomes(BOOKING_STATUS_ENDED))],
        BookingLapsed: [Last("set_status", BY_BOOKING, becomes(BOOKING_STATUS_LAPSED))],
    },
    ignores=[BookingNotRestored, BookingsSetAside, BookingsTakenUp, RestorationPostponed],
)
