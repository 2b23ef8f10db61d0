"""What was decided about a person that withholds their messages, and what undid it.

A measure and its lift meet in the person's stream. Whatever a measure withholds depends on it in its commit: what comes
after the lift withholds nothing, and what came before is there for the lift to find, in whatever order both arrive.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import NamedTuple, assert_never

from holdspace.messaging.v1 import events_pb2
from holdspace.messaging.v1.private_pb2 import GapSearched, MeasuresLifted
from kernel.decision import Decision
from kernel.facts import instant, timestamp

Fact = GapSearched | MeasuresLifted


class StandingDecision(NamedTuple):
    """A decision about a person's standing, by its place in its source."""

    person_id: str
    source: str
    epoch: int
    version: int
    decided_at: datetime

    def is_before(self, other: "StandingDecision") -> bool:
        """Says whether the other came later about the same person, by the rule that gates go by."""
        if self.person_id != other.person_id:
            return False
        if self.source == other.source:
            return (self.epoch, self.version) < (other.epoch, other.version)
        return self.decided_at < other.decided_at


class Gap(NamedTuple):
    """How far the search for what slipped in before a measure arrived has come."""

    down_to: int  # position; everything from here to the copy was searched
    messages: int
    is_over: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchGap:
    """`gap`: how far the search is now. `further_than`: the position it was at before, None at the beginning."""

    measure: StandingDecision
    closed_until: datetime | None
    gap: Gap
    further_than: int | None
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LiftMeasures:
    """Undoes every measure before it. `up_to`: the conversations that have their messages back, by id."""

    lift: StandingDecision
    up_to: str = ""
    now: datetime


@dataclass(frozen=True, slots=True)
class Measures:
    """Against one person. `gaps`: of measures that hold. `lifts`: the last of each source, and how far it has come."""

    gaps: Mapping[StandingDecision, Gap] = field(default_factory=dict)
    lifts: Mapping[str, tuple[StandingDecision, str]] = field(default_factory=dict)

    def are_lifted(self, measure: StandingDecision) -> bool:
        return any(measure.is_before(lift) for lift, _ in self.lifts.values())


def search_gap(command: SearchGap, measures: Measures) -> Decision:
    known = measures.gaps.get(command.measure)
    if measures.are_lifted(command.measure) or (known and known.down_to) != command.further_than:
        return Decision()
    measure, gap = command.measure, command.gap
    searched = GapSearched(
        person_id=measure.person_id,
        measure=message_of(measure),
        closed_until=None if command.closed_until is None else timestamp(command.closed_until),
        down_to=gap.down_to,
        messages=gap.messages,
        over=gap.is_over,
    )
    return Decision([searched])


def lift_measures(command: LiftMeasures, measures: Measures) -> Decision:
    lift, up_to = measures.lifts.get(command.lift.source, (None, ""))
    if lift is not None and (command.lift.is_before(lift) or (command.lift == lift and command.up_to <= up_to)):
        return Decision()
    return Decision(
        [
            MeasuresLifted(
                person_id=command.lift.person_id,
                lift=message_of(command.lift),
                up_to_conversation_id=command.up_to,
            )
        ]
    )


def evolve(measures: Measures, fact: Fact, at: datetime) -> Measures:
    match fact:
        case GapSearched():
            gap = Gap(fact.down_to, fact.messages, fact.over)
            return replace(measures, gaps={**measures.gaps, decision_of(fact.measure): gap})
        case MeasuresLifted():
            lift = decision_of(fact.lift)
            return replace(
                measures,
                gaps={measure: gap for measure, gap in measures.gaps.items() if not measure.is_before(lift)},
                lifts={**measures.lifts, lift.source: (lift, fact.up_to_conversation_id)},
            )
        case _:
            assert_never(fact)


def decision_of(message: events_pb2.StandingDecision) -> StandingDecision:
    return StandingDecision(
        message.person_id, message.source, message.epoch, message.version, instant(message.decided_at)
    )


def message_of(decision: StandingDecision) -> events_pb2.StandingDecision:
    return events_pb2.StandingDecision(
        person_id=decision.person_id,
        source=decision.source,
        epoch=decision.epoch,
        version=decision.version,
        decided_at=timestamp(decision.decided_at),
    )
