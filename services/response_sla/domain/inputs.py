"""What waits are made from: the messages of a conversation, and what moderation said about its two people."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple

from holdspace.moderation.v1.events_pb2 import Finding
from kernel.gates import Spans, span_at


class Source(NamedTuple):
    """Who told an input: service/cell, and the epoch of its store, higher after each restore from a backup."""

    name: str = ""
    epoch: int = 1


HERE = Source()


@dataclass(frozen=True, slots=True)
class SentMessage:
    """`sequence` counts the messages of the conversation from 1. `automatic`: sent by a rule and not by a person.

    `imported`: its time is that of another system, so its sequence says nothing about when it was sent.
    """

    at: datetime
    sequence: int
    fact_id: str
    from_client: bool
    expects_reply: bool = True
    automatic: bool = False
    imported: bool = False
    source: Source = HERE

    def turned(self) -> "SentMessage":
        """Returns the same message, of the other side."""
        return replace(self, from_client=not self.from_client)


@dataclass(frozen=True, slots=True)
class FiledReport:
    """`version` here and below: of the person's stream in moderation.

    `conversation_id`, `last_sequence`: the last message the reporter knew of, empty and 0 when they did not say.
    """

    at: datetime
    version: int
    fact_id: str
    report_id: str
    reporter_id: str
    conversation_id: str = ""
    last_sequence: int = 0
    source: Source = HERE


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
    source: Source = HERE

    def locks(self, at: datetime) -> bool:
        """Returns whether nothing passes from or to the person at an instant from this change on."""
        return span_at(self.phases, at).closed


@dataclass(frozen=True, slots=True)
class ReportDecision:
    at: datetime
    version: int
    fact_id: str
    report_id: str
    reporter_id: str
    finding: Finding.ValueType
    source: Source = HERE


@dataclass(frozen=True, slots=True)
class NoReplyOwed:
    """The therapist says so of the wait that runs, knowing the messages up to `last_sequence`; 0: all sent by then."""

    at: datetime
    fact_id: str  # by its place among those of the conversation
    last_sequence: int = 0


PersonInput = FiledReport | StandingChange | ReportDecision
