"""What the withdrawal of an enrolment takes: every hold and booking with the therapist that is ahead."""

from dataclasses import dataclass
from datetime import datetime

from holdspace.scheduling.v1.events_pb2 import CANCELLATION_REASON_THERAPIST_UNAVAILABLE
from kernel.decision import Decision
from services.scheduling.domain.booking import Booking, Status, cancelled
from services.scheduling.domain.therapist import Therapist


@dataclass(frozen=True, slots=True)
class CancelForWithdrawal:
    booking_id: str
    therapist_id: str
    now: datetime


def cancel_for_withdrawal(command: CancelForWithdrawal, booking: Booking, *, therapist: Therapist) -> Decision:
    is_open = booking.status_at(command.now) in (Status.HELD, Status.CONFIRMED)
    gives = booking.therapist_id == command.therapist_id  # What they take as a client stays theirs.
    if therapist.is_enrolled or not is_open or not gives:
        return Decision()
    return cancelled(booking, CANCELLATION_REASON_THERAPIST_UNAVAILABLE, command.therapist_id)
