"""A reporter: how far their reports are relied on. Only bad faith counts against them, never an honest mistake."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import assert_never

from holdspace.moderation.v1.events_pb2 import FINDING_BAD_FAITH, Finding
from holdspace.moderation.v1.private_pb2 import BadFaithFound, BadFaithWithdrawn
from kernel.decision import Decision
from services.moderation.domain.policy import Policy

Fact = BadFaithFound | BadFaithWithdrawn


@dataclass(frozen=True, slots=True)
class NoteFinding:
    """What a moderator found about one report of theirs."""

    reporter_id: str
    report_id: str
    finding: Finding.ValueType
    now: datetime


@dataclass(frozen=True, slots=True)
class Reporter:
    in_bad_faith: frozenset[str] = frozenset()  # reports whose last decision says so

    def reliability(self, policy: Policy) -> int:
        """Returns thousandths."""
        return max(0, policy.reliability - policy.reliability_lost * len(self.in_bad_faith))


def note_finding(command: NoteFinding, reporter: Reporter) -> Decision:
    is_known = command.report_id in reporter.in_bad_faith
    if (command.finding == FINDING_BAD_FAITH) == is_known:
        return Decision()
    noted = BadFaithWithdrawn if is_known else BadFaithFound
    return Decision([noted(reporter_id=command.reporter_id, report_id=command.report_id)])


def evolve(reporter: Reporter, fact: Fact, at: datetime) -> Reporter:
    match fact:
        case BadFaithFound():
            return replace(reporter, in_bad_faith=reporter.in_bad_faith | {fact.report_id})
        case BadFaithWithdrawn():
            return replace(reporter, in_bad_faith=reporter.in_bad_faith - {fact.report_id})
        case _:
            assert_never(fact)
