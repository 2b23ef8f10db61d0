"""Gates: a service's own copy of what another service decided about a subject.

A command that must not pass a closed gate reads the gate's stream, and so its commit depends on it. Ends by time travel
in the copy: whoever reads it evaluates them itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import assert_never

from holdspace.kernel.v1.gate_pb2 import GateCopied, Phase
from kernel.decision import Decision
from kernel.facts import instant, timestamp
from kernel.folded import Fold
from kernel.routes import Read, Route


@dataclass(frozen=True, slots=True)
class CopyGate:
    gate: str
    subject: str
    source_version: int  # of the stream where it was decided
    decided_at: datetime
    phases: Sequence[Phase]
    source_type: str  # full name of the source's fact
    now: datetime


@dataclass(frozen=True, slots=True)
class Gate:
    """`phases`: (state, until) in order; the last has no end. No phases: nothing was ever decided."""

    source_version: int = 0
    decided_at: datetime | None = None
    phases: tuple[tuple[str, datetime | None], ...] = ()

    def at(self, now: datetime) -> str:
        """Returns the state at an instant, an empty string when nothing was ever decided."""
        for state, until in self.phases:
            if until is None or now < until:
                return state
        return self.phases[-1][0] if self.phases else ""


def phase(state: str, until: datetime | None = None) -> Phase:
    return Phase(state=state, until=None if until is None else timestamp(until))


def phases_of(message: Sequence[Phase]) -> tuple[tuple[str, datetime | None], ...]:
    return tuple((p.state, instant(p.until) if p.HasField("until") else None) for p in message)


def gate_stream(gate: str, subject: str) -> str:
    return f"gate-{gate}-{subject}"


def decide(command: CopyGate, gate: Gate) -> Decision:
    if command.source_version <= gate.source_version:
        return Decision()  # A copy never goes back.
    return Decision(
        [
            GateCopied(
                gate=command.gate,
                subject=command.subject,
                source_version=command.source_version,
                decided_at=timestamp(command.decided_at),
                phases=command.phases,
                source_type=command.source_type,
            )
        ]
    )


def evolve(_: Gate, fact: GateCopied, at: datetime) -> Gate:
    match fact:
        case GateCopied():
            return Gate(fact.source_version, instant(fact.decided_at), phases_of(fact.phases))
        case _:
            assert_never(fact)


GATE = Fold(Gate(), evolve)

COPY_GATE = Route(CopyGate, lambda c: gate_stream(c.gate, c.subject), GATE, decide, urgent=True)


def gate_of(gate: str, field: str) -> Read:
    """Returns the reading of a gate whose subject the command names in a field."""
    prefix = gate_stream(gate, "")
    return Read(lambda command: prefix + getattr(command, field), GATE)
