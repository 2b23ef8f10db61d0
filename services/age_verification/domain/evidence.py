"""What a provider says about a client, once it is sure that the provider said it. No date of birth gets this far."""

from dataclasses import dataclass
from datetime import datetime

from holdspace.age_verification.v1.events_pb2 import AssuranceLevel


@dataclass(frozen=True, slots=True)
class Evidence:
    """Common to all that a provider says. `receipt_sha256`: over the provider and its receipt."""

    method: str
    issued_at: datetime
    receipt_sha256: bytes


@dataclass(frozen=True, slots=True)
class Unreadable(Evidence):
    """The provider could not make out what the client showed."""


@dataclass(frozen=True, slots=True)
class Over18(Evidence):
    level: AssuranceLevel.ValueType
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class UnderAge(Evidence):
    level: AssuranceLevel.ValueType


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing was said, or it cannot be found out. `reason` and `field`: as it is rejected with."""

    reason: str
    field: str = ""


Checked = Unreadable | Over18 | UnderAge | Refused
