"""What waits are made from: the messages of a conversation, and what moderation said about its client."""

from dataclasses import dataclass
from datetime import datetime
from typing import assert_never

from holdspace.moderation.v1.events_pb2 import Finding
from kernel.gates import Spans, span_at


@dataclass(frozen=True, slots=True)
class SentMessage:
    """`sequence` counts the messages of the conversation from 1. `automatic`: sent by a rule and not by a person."""

    at: datetime
    sequence: int
    fact_id: str
    from_client: bool
    expects_reply: bool = True
    automatic: bool = False


@dataclass(frozen=True, slots=True)
class FiledReport:
    """`version` here and below: of the client's stream in moderation; it orders what happened at one instant."""

    at: datetime
    version: int
    fact_id: str
    report_id: str
    reporter_id: str


@dataclass(frozen=True, slots=True)
class StandingChange:
    """`phases`: from `at` on. Time alone only ever moves a standing toward the
    person, so a lock begins at a change and never between two.

    `lifted`: a person gave the standing back, as against an end by time. `report_ids`: what a measure rests
    on, whoever took it; empty when a person took it and no report was open.
    """

    at: datetime
    version: int
    fact_id: str
    phases: Spans
    lifted: bool = False
    report_ids: tuple[str, ...] = ()

    def locks(self, at: datetime) -> bool:
        """Returns whether nothing passes from the client at an instant from this change on."""
        return span_at(self.phases, at).closed


@dataclass(frozen=True, slots=True)
class ReportDecision:
    at: datetime
    version: int
    fact_id: str
    report_id: str
    reporter_id: str
    finding: Finding.ValueType


ClientInput = FiledReport | StandingChange | ReportDecision
Input = SentMessage | ClientInput
Order = tuple[datetime, int, int, str]


def order(item: Input) -> Order:
    """Returns where an input stands among all others, by its own time and never by when it arrived."""
    match item:
        case SentMessage():
            return (item.at, 0, item.sequence, item.fact_id)
        case FiledReport():
            return (item.at, 1, item.version, item.fact_id)
        case StandingChange():
            return (item.at, 2, item.version, item.fact_id)
        case ReportDecision():
            return (item.at, 3, item.version, item.fact_id)
        case _:
            assert_never(item)
