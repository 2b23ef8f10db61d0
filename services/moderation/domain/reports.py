"""Reports about one client, and what they add up to."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from holdspace.moderation.v1.events_pb2 import (
    FINDING_BAD_FAITH,
    FINDING_DISMISSED,
    FINDING_UNSPECIFIED,
    FINDING_UPHELD,
    Finding,
    Severity,
)
from services.moderation.domain.policy import Policy, Threshold

UNFOUNDED = (FINDING_DISMISSED, FINDING_BAD_FAITH)
BRAKE, SUSPENSION = "BRAKE", "SUSPENSION"  # the kinds of measure that reports bring about


@dataclass(frozen=True, slots=True)
class Report:
    """`reliability` (thousandths) and `in_good_standing` are those of the reporter when it was made.

    It counts towards one measure of a kind: `spent` names the kinds the policy took that rest on it. One on which a
    provisional suspension rests is `held` for another until somebody decides about it. Whatever a person decided while
    it was open, it is `closed` and brings about nothing more.
    """

    report_id: str
    reporter_id: str
    severity: Severity.ValueType
    at: datetime
    conversation_id: str = ""  # with `last_message_sequence`: the last message the reporter knew of, if they named one
    last_message_sequence: int = 0
    reliability: int = 0
    in_good_standing: bool = False
    needs_person: bool = False  # no suspension rests on it before somebody decides about it
    finding: Finding.ValueType = FINDING_UNSPECIFIED  # the last decision's
    decided_at: datetime | None = None
    moderator_id: str = ""
    spent: frozenset[str] = frozenset()
    held: bool = False
    closed: bool = False

    @property
    def is_undecided(self) -> bool:
        return self.finding == FINDING_UNSPECIFIED

    @property
    def is_open(self) -> bool:
        return self.finding not in UNFOUNDED

    def counted(self, kind: str) -> bool:
        """Returns whether the policy took a measure of the kind that rests on it, and it brings about no other."""
        return kind in self.spent or (kind == SUSPENSION and self.held and self.is_undecided)

    def weight(self, policy: Policy) -> int:
        """Returns thousandths."""
        return policy.weights[self.severity] * self.reliability

    def is_outdated(self, policy: Policy, now: datetime) -> bool:
        """Returns whether it was upheld so long ago that it has lost its weight."""
        upheld_at = self.decided_at if self.finding == FINDING_UPHELD else None
        return upheld_at is not None and upheld_at + policy.upheld_weighs <= now


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


def scoring(reports: Mapping[str, Report], contacts: Collection[str], policy: Policy, now: datetime) -> list[Report]:
    """Returns the reports that have a vote: of reporters the client wrote to, not found to be wrong, nor outdated."""
    return [
        report
        for report in reports.values()
        if report.reporter_id in contacts
        and report.is_open
        and report.reliability
        and not report.is_outdated(policy, now)
    ]


def able(votes: Collection[Report], kind: str, policy: Policy) -> list[Report]:
    """Returns the votes that may bring about a measure of the kind.

    A reporter whose undecided report brought about one has their vote again when somebody decided about it. Until then
    only a graver report counts, since a vote is the highest severity: repeating it adds nothing.
    """
    cast: dict[str, int] = {}
    for report in votes:
        if report.is_undecided and not report.closed and report.counted(kind):
            cast[report.reporter_id] = max(cast.get(report.reporter_id, 0), policy.weights[report.severity])
    return [
        report
        for report in votes
        if may_count(report, kind) and policy.weights[report.severity] > cast.get(report.reporter_id, 0)
    ]


def may_count(report: Report, kind: str) -> bool:
    waits_for_person = kind == SUSPENSION and report.needs_person and report.is_undecided
    return not report.closed and not waits_for_person and not report.counted(kind)


def braking(report: Report) -> Report:
    """Returns the report once a brake of the policy rests on it."""
    return replace(report, spent=report.spent | {BRAKE})


def suspending(report: Report) -> Report:
    """Returns the report once a suspension of the policy rests on it, which leaves a brake when it ends."""
    if report.is_undecided:
        return replace(braking(report), held=True)
    return replace(report, spent=report.spent | {BRAKE, SUSPENSION})


def close(reports: Mapping[str, Report]) -> dict[str, Report]:
    """Returns the reports once a person took a measure, or reversed one, with those that are open before them."""
    return {key: replace(report, closed=True) if report.is_open else report for key, report in reports.items()}
