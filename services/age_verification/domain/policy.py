"""What evidence suffices, as data. It travels in commands; nothing of it is needed to read the facts."""

from dataclasses import dataclass
from datetime import timedelta

from holdspace.age_verification.v1.events_pb2 import ASSURANCE_LEVEL_SUBSTANTIAL, AssuranceLevel


@dataclass(frozen=True, slots=True)
class AgePolicy:
    level_min: AssuranceLevel.ValueType = ASSURANCE_LEVEL_SUBSTANTIAL  # for an assurance; any finds a client under age
    unreadable_max: int = 3  # attempts whose evidence cannot be made out, before the client has to wait
    unreadable_rest: timedelta = timedelta(days=1)  # since the last of them; then the attempts are whole again
