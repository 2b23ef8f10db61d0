"""Every command of scheduling and the stream it runs on."""

from datetime import datetime

from kernel.folded import Fold
from kernel.gates import COPY_GATE, gate_of
from kernel.routes import Read, Route
from services.scheduling.domain import booking, session, suspension, therapist
from services.scheduling.domain.booking import (
    HOLDS,
    Booking,
    CancelBooking,
    ConfirmBooking,
    ExpireHold,
    HoldSlot,
)
from services.scheduling.domain.session import EndSlot, StartSession
from services.scheduling.domain.suspension import (
    CancelForSuspension,
    GiveUpRestoring,
    KeepAside,
    RestoreBooking,
    SetBookingsAside,
    SuspendedBookings,
    TakeBookingsUp,
)
from services.scheduling.domain.therapist import EnrolTherapist, PublishContactHours, Therapist, WithdrawEnrolment
from services.scheduling.domain.withdrawal import CancelForWithdrawal, cancel_for_withdrawal

THERAPIST = Fold(Therapist(), therapist.evolve)
BOOKING = Fold(Booking(), booking.evolve)
SUSPENDED_BOOKINGS = Fold(SuspendedBookings(), suspension.evolve)

BOOKING_PREFIX = "booking-"


def therapist_stream(therapist_id: str) -> str:
    return f"therapist-{therapist_id}"


def booking_stream(booking_id: str) -> str:
    return f"{BOOKING_PREFIX}{booking_id}"


def booking_of(stream: str) -> str:
    """Takes the name of a booking's stream and returns the booking's id."""
    return stream.removeprefix(BOOKING_PREFIX)


def person_stream(person_id: str) -> str:
    return f"person-{person_id}"


def on_therapist(command: EnrolTherapist | WithdrawEnrolment | PublishContactHours) -> str:
    return therapist_stream(command.therapist_id)


def on_booking(
    command: HoldSlot
    | ConfirmBooking
    | StartSession
    | EndSlot
    | CancelBooking
    | ExpireHold
    | CancelForSuspension
    | CancelForWithdrawal
    | RestoreBooking
    | GiveUpRestoring,
) -> str:
    return booking_stream(command.booking_id)


def on_person(command: SetBookingsAside | KeepAside | TakeBookingsUp) -> str:
    return person_stream(command.person_id)


def expire_hold(holder: str, now: datetime) -> ExpireHold:
    return ExpireHold(booking_of(holder), now)


OF_THERAPIST = Read(lambda command: therapist_stream(command.therapist_id), THERAPIST)
STANDING_OF_CLIENT = gate_of("standing", "client_id")
STANDING_OF_THERAPIST = gate_of("standing", "therapist_id")
AGE_OF_CLIENT = gate_of("age", "client_id")
STANDINGS = {"client": STANDING_OF_CLIENT, "therapist": STANDING_OF_THERAPIST}
GATES = {**STANDINGS, "age": AGE_OF_CLIENT}
STANDING = {"standing": gate_of("standing", "person_id")}

ROUTES = [
    Route(EnrolTherapist, on_therapist, THERAPIST, therapist.enrol),
    Route(WithdrawEnrolment, on_therapist, THERAPIST, therapist.withdraw, urgent=True),
    Route(PublishContactHours, on_therapist, THERAPIST, therapist.publish),
    Route(
        HoldSlot,
        on_booking,
        BOOKING,
        booking.hold,
        reads={
            "therapist": OF_THERAPIST,
            "client_standing": STANDING_OF_CLIENT,
            "therapist_standing": STANDING_OF_THERAPIST,
        },
        claim_taken="SLOT_TAKEN",
        claims_taken={HOLDS: "HOLDS_TOO_MANY"},
        expire_hold=expire_hold,
    ),
    Route(ConfirmBooking, on_booking, BOOKING, booking.confirm, reads=GATES),
    Route(StartSession, on_booking, BOOKING, session.start, reads=GATES),
    Route(EndSlot, on_booking, BOOKING, session.end),
    Route(CancelBooking, on_booking, BOOKING, booking.cancel),
    Route(ExpireHold, on_booking, BOOKING, booking.expire),
    Route(SetBookingsAside, on_person, SUSPENDED_BOOKINGS, suspension.set_aside, reads=STANDING),
    Route(KeepAside, on_person, SUSPENDED_BOOKINGS, suspension.keep_aside),
    Route(
        CancelForSuspension,
        on_booking,
        BOOKING,
        suspension.cancel_for_suspension,
        reads=STANDING,
    ),
    Route(TakeBookingsUp, on_person, SUSPENDED_BOOKINGS, suspension.take_up, reads=STANDING),
    Route(
        RestoreBooking,
        on_booking,
        BOOKING,
        suspension.restore,
        reads={**STANDINGS, "enrolment": OF_THERAPIST},
        claim_taken="SLOT_TAKEN",
        expire_hold=expire_hold,
    ),
    Route(CancelForWithdrawal, on_booking, BOOKING, cancel_for_withdrawal, reads={"therapist": OF_THERAPIST}),
    Route(GiveUpRestoring, on_booking, BOOKING, suspension.give_up_restoring),
    COPY_GATE,
]
