"""Our own facts, opened, as projections and reactions read them from our own store by position."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from holdspace.kernel.v1.envelope_pb2 import Envelope
from kernel.facts import FactTypes, instant
from kernel.store.interface import Recorded


@dataclass(frozen=True, slots=True)
class OwnFact:
    position: int
    stream: str
    version: int
    recorded_at: datetime
    envelope: Envelope
    payload: Any  # the message its type names

    @property
    def occurred_at(self) -> datetime:
        return instant(self.envelope.occurred_at)


def opened(recorded: Recorded, envelope: Envelope, fact_types: FactTypes) -> OwnFact:
    """Takes a fact with its envelope, opened, for the payload in it."""
    return OwnFact(
        recorded.position,
        recorded.stream,
        recorded.version,
        recorded.recorded_at,
        envelope,
        fact_types.payload(envelope),
    )
