"""Gates as tests need them: open, closed, copied from a source that numbers its decisions."""

from collections.abc import Sequence
from datetime import datetime

from holdspace.kernel.v1.gate_pb2 import Phase
from kernel.gates import CopyGate, Gate, Span, Spans, phase
from tests.sentences import START

CLOSED = ("SUSPENDED", "BANNED")


def told_phase(state: str, until: datetime | None = None) -> Phase:
    """Returns a phase as the source of standings tells it."""
    return phase(state, until, closed=state in CLOSED)


def told_spans(*phases: tuple[str, datetime | None]) -> Spans:
    """Returns a standing as its source tells it."""
    return tuple(Span(state, until, state in CLOSED) for state, until in phases)


def gate(state: str, until: datetime | None = None, *then: tuple[str, datetime | None]) -> Gate:
    """Returns a gate in a state until an instant, or without an end; `then`: the states after it."""
    return Gate(source="test/cell", epoch=1, version=1, decided_at=START, spans=told_spans((state, until), *then))


def copy(
    name: str,
    subject: str,
    phases: Sequence[Phase],
    *,
    version: int,
    epoch: int = 1,
    source: str = "test/cell",
    source_type: str = "test.Decided",
    now: datetime = START,
    decided_at: datetime | None = None,
) -> CopyGate:
    return CopyGate(
        gate=name,
        subject=subject,
        source=source,
        epoch=epoch,
        version=version,
        decided_at=decided_at or now,
        phases=phases,
        source_type=source_type,
        now=now,
    )
