"""Reports about one client, and what they add up to."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from holdspace.moderation.v1.events_pb2 import (
    FINDING_BAD_FAITH,
    FINDING_DISMISSED,
    FINDING_UNSPECIFIED,
    Finding,
    Severity,
)
from services.moderation.domain.policy import Policy, Threshold

UNFOUNDED = (FINDING_DISMISSED, FINDING_BAD_FAITH)


@dataclass(frozen=True, slots=True)
class Report:
    """`reliability` (thousandths) and `in_good_standing` are those of the reporter when it was made."""

    report_id: str
    reporter_id: str
    severity: Severity.ValueType
    at: datetime
    conversation_id: str = ""  # with `last_message_sequence`: the last message the reporter knew of, if they named one
    last_message_sequence: int = 0
    reliability: int = 0
    in_good_standing: bool = False
    finding: Finding.ValueType = FINDING_UNSPECIFIED  # the last decision's
    decided_at: datetime | None = None
    moderator_id: str = ""
    spent: bool = False  # it cannot suspend, or not again, while nobody decides about it

    @property
    def is_undecided(self) -> bool:
        return self.finding == FINDING_UNSPECIFIED

    @property
    def can_suspend(self) -> bool:
        return not (self.spent and self.is_undecided)

    def weight(self, policy: Policy) -> int:
        """Returns thousandths."""
        return policy.weights[self.severity] * self.reliability


@dataclass(frozen=True, slots=True)
class Tally:
    """`score` in thousandths, of `reporters` who have a vote in it."""

    score: int
    reporters: int

    def reaches(self, threshold: Threshold) -> bool:
        return self.score >= threshold.score and self.reporters >= threshold.reporters


def tally(reports: Iterable[Report], policy: Policy) -> Tally:
    """Counts each reporter once, with the weightiest of their reports."""
    votes: dict[str, int] = {}
    for report in reports:
        votes[report.reporter_id] = max(votes.get(report.reporter_id, 0), report.weight(policy))
    return Tally(sum(votes.values()), sum(vote > 0 for vote in votes.values()))


def scoring(reports: Mapping[str, Report], contacts: frozenset[str]) -> list[Report]:
    """Returns the reports that have a vote: of reporters the client wrote to, and not found to be wrong."""
    return [r for r in reports.values() if r.reporter_id in contacts and r.finding not in UNFOUNDED and r.reliability]
