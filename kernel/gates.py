"""Gates: a service's own copy of what another service decided about a subject.

A command that must not pass a closed gate reads the gate's stream, and so its commit depends on it. Ends by time travel
in the copy: whoever reads it evaluates them itself. While a fact about the subject is parked, nobody knows what it
says: the gate then answers GATE_PARKED.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple, assert_never

from holdspace.kernel.v1.gate_pb2 import GateCopied, Phase
from kernel.decision import Decision
from kernel.errors import Rejected
from kernel.facts import instant, timestamp
from kernel.folded import Fold
from kernel.routes import Read, Route


class Span(NamedTuple):
    """A part of a subject's future: in this state until then. The last of several has no end."""

    state: str
    until: datetime | None = None
    closed: bool = False


Spans = tuple[Span, ...]
NOTHING_DECIDED = Span("")


def span_at(spans: Sequence[Span], now: datetime) -> Span:
    """Returns the span an instant lies in, `NOTHING_DECIDED` when there is none at all."""
    for span in spans:
        if span.until is None or now < span.until:
            return span
    return spans[-1] if spans else NOTHING_DECIDED


def phase(state: str, until: datetime | None = None, *, closed: bool = False) -> Phase:
    return Phase(state=state, until=None if until is None else timestamp(until), closed=closed)


def phases(spans: Iterable[Span]) -> list[Phase]:
    return [phase(span.state, span.until, closed=span.closed) for span in spans]


def spans_of(message: Iterable[Phase]) -> Spans:
    return tuple(Span(p.state, instant(p.until) if p.HasField("until") else None, p.closed) for p in message)


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyGate:
    gate: str
    subject: str
    source: str  # who decided it: service/cell
    epoch: int  # of the source
    version: int  # of the source's stream
    decided_at: datetime
    phases: Sequence[Phase]
    source_type: str  # full name of the source's fact
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """No spans: nothing was ever decided. `is_fresh` and `is_parked` are filled in when a decision reads it."""

    source: str = ""
    epoch: int = 0
    version: int = 0
    decided_at: datetime | None = None
    spans: Spans = ()
    is_fresh: bool = True
    is_parked: bool = False

    def at(self, now: datetime) -> str:
        """Returns the state at an instant, an empty string when nothing was ever decided. Raises GATE_PARKED."""
        return self._known(now).state

    def closed_at(self, now: datetime) -> bool:
        """Says whether nothing passes at an instant. Raises GATE_PARKED."""
        return self._known(now).closed

    def last_known_at(self, now: datetime) -> str:
        """Returns the state by what was copied last, for what only undoes or carries out something."""
        return span_at(self.spans, now).state

    def last_known_closed_at(self, now: datetime) -> bool:
        """As `closed_at`, by what was copied last."""
        return span_at(self.spans, now).closed

    def must_be_fresh(self) -> None:
        """Raises GATE_STALE when the copies are older than the service allows, GATE_PARKED."""
        self._must_not_be_parked()
        if not self.is_fresh:
            raise Rejected("GATE_STALE")

    def seen(self, *, is_fresh: bool, is_parked: bool) -> "Gate":
        """Returns the gate with what is known of its copies."""
        if (is_fresh, is_parked) == (self.is_fresh, self.is_parked):
            return self
        return replace(self, is_fresh=is_fresh, is_parked=is_parked)

    def _known(self, now: datetime) -> Span:
        self._must_not_be_parked()
        return span_at(self.spans, now)

    def _must_not_be_parked(self) -> None:
        if self.is_parked:
            raise Rejected("GATE_PARKED")


def gate_stream(gate: str, subject: str) -> str:
    return f"gate-{gate}-{subject}"


def decide(command: CopyGate, gate: Gate) -> Decision:
    if not is_news(command, gate):
        return Decision()
    copied = GateCopied(
        gate=command.gate,
        subject=command.subject,
        source=command.source,
        epoch=command.epoch,
        begins_epoch=begins_epoch(command, gate),
        source_version=command.version,
        decided_at=timestamp(command.decided_at),
        phases=command.phases,
        source_type=command.source_type,
    )
    return Decision([copied])


def is_news(command: CopyGate, gate: Gate) -> bool:
    """Within one source the epoch and then the version say what came later; between two, the time of the decision."""
    if not gate.source:
        return True
    if gate.source == command.source:
        return (command.epoch, command.version) > (gate.epoch, gate.version)
    return gate.decided_at is None or command.decided_at > gate.decided_at


def begins_epoch(command: CopyGate, gate: Gate) -> bool:
    """Says whether a restored source now decides otherwise. What it merely states anew begins nothing."""
    is_same = (command.decided_at, spans_of(command.phases)) == (gate.decided_at, gate.spans)
    return gate.source == command.source and command.epoch > gate.epoch and not is_same


def closes(copied: GateCopied) -> bool:
    """Says whether the copy closes its gate as of its decision."""
    return bool(copied.phases) and copied.phases[0].closed


def opens_anew(copied: GateCopied) -> bool:
    """Says whether a source that was restored to before it closed the gate has opened it: what followed is undone."""
    return copied.begins_epoch and not closes(copied)


def evolve(gate: Gate, fact: GateCopied, at: datetime) -> Gate:
    match fact:
        case GateCopied():
            return replace(
                gate,
                source=fact.source,
                epoch=fact.epoch,
                version=fact.source_version,
                decided_at=instant(fact.decided_at),
                spans=spans_of(fact.phases),
            )
        case _:
            assert_never(fact)


GATE = Fold(Gate(), evolve)

COPY_GATE = Route(CopyGate, lambda c: gate_stream(c.gate, c.subject), GATE, decide, urgent=True)


def gate_of(gate: str, field: str) -> Read:
    """Returns the reading of a gate whose subject the command names in a field."""
    prefix = gate_stream(gate, "")
    return Read(lambda command: prefix + getattr(command, field), GATE, lambda command: str(getattr(command, field)))
