"""What a reinstatement could not give back, as other services tell."""

from dataclasses import dataclass
from datetime import datetime

from holdspace.moderation.v1.private_pb2 import BookingLost
from services.moderation.domain.client_standing import ClientStanding, Fact


@dataclass(frozen=True, slots=True)
class NoteBookingLost:
    client_id: str
    booking_id: str
    lift_version: int  # of the reinstatement, in the client's stream; 0: the last one
    now: datetime


def note_booking_lost(command: NoteBookingLost, standing: ClientStanding) -> list[Fact]:
    lift_version = command.lift_version or standing.lift_version
    if lift_version == standing.lift_version and command.booking_id in standing.booking_ids_lost:
        return []
    return [BookingLost(client_id=command.client_id, booking_id=command.booking_id, lift_version=lift_version)]
