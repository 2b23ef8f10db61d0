from datetime import datetime, timedelta

import pytest

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
from services.scheduling.api import booking_of
from tests.unit.scheduling.booked import ENDS, EXPIRES, STARTS

INSTANT = timedelta(microseconds=1)
ROW = {
    "booking_id": "b",
    "client_id": "c",
    "therapist_id": "t",
    "starts_at": STARTS,
    "ends_at": ENDS,
    "hold_expires_at": EXPIRES,
    "cancellation_reason": 0,
}


@pytest.mark.parametrize(
    ("noted", "over_at", "told"),
    [
        (BOOKING_STATUS_HELD, EXPIRES, BOOKING_STATUS_EXPIRED),
        (BOOKING_STATUS_CONFIRMED, ENDS, BOOKING_STATUS_LAPSED),
        (BOOKING_STATUS_STARTED, ENDS, BOOKING_STATUS_ENDED),
    ],
)
def test_what_is_over_is_told_so_from_its_instant_on_whether_or_not_that_was_noted(
    noted: BookingStatus.ValueType, over_at: datetime, told: BookingStatus.ValueType
) -> None:
    row = {**ROW, "status": noted}
    assert booking_of(row, over_at - INSTANT).status == noted
    assert booking_of(row, over_at).status == told


@pytest.mark.parametrize(
    "noted", [BOOKING_STATUS_EXPIRED, BOOKING_STATUS_CANCELLED, BOOKING_STATUS_ENDED, BOOKING_STATUS_LAPSED]
)
def test_what_has_ended_stays_as_it_was(noted: BookingStatus.ValueType) -> None:
    assert booking_of({**ROW, "status": noted}, ENDS).status == noted
