"""A reporter: how far their reports are relied on, and whom these suspended by themselves.

Only bad faith counts against them, never an honest mistake.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import assert_never

from holdspace.moderation.v1.events_pb2 import FINDING_BAD_FAITH, Finding
from holdspace.moderation.v1.private_pb2 import BadFaithFound, BadFaithWithdrawn, SuspensionAllowed
from kernel.decision import Decision
from services.moderation.domain.policy import Policy

Fact = BadFaithFound | BadFaithWithdrawn | SuspensionAllowed


@dataclass(frozen=True, slots=True)
class NoteFinding:
    """What a moderator found about one report of theirs."""

    reporter_id: str
    report_id: str
    finding: Finding.ValueType
    now: datetime


@dataclass(frozen=True, slots=True)
class AskToSuspend:
    """A suspension of the client is about to rest on their reports."""

    reporter_id: str
    client_id: str
    policy: Policy
    now: datetime


@dataclass(frozen=True, slots=True)
class Reporter:
    in_bad_faith: frozenset[str] = frozenset()  # reports whose last decision says so
    suspends: Mapping[str, datetime] = field(default_factory=dict)  # by person: when their suspension was allowed last

    def reliability(self, policy: Policy) -> int:
        """Returns thousandths."""
        return max(0, policy.reliability - policy.reliability_lost * len(self.in_bad_faith))

    def people_suspended(self, policy: Policy, now: datetime) -> set[str]:
        """Returns whom their reports suspended, or were about to, of late."""
        return {who for who, at in self.suspends.items() if now < at + policy.people_suspended_within}


def note_finding(command: NoteFinding, reporter: Reporter) -> Decision:
    is_known = command.report_id in reporter.in_bad_faith
    if (command.finding == FINDING_BAD_FAITH) == is_known:
        return Decision()
    noted = BadFaithWithdrawn if is_known else BadFaithFound
    return Decision([noted(reporter_id=command.reporter_id, report_id=command.report_id)])


def ask_to_suspend(command: AskToSuspend, reporter: Reporter) -> Decision:
    """The same person again is one person; when it was allowed last is what counts."""
    others = reporter.people_suspended(command.policy, command.now) - {command.client_id}
    if len(others) >= command.policy.people_suspended_max:
        return Decision()
    return Decision([SuspensionAllowed(reporter_id=command.reporter_id, client_id=command.client_id)])


def evolve(reporter: Reporter, fact: Fact, at: datetime) -> Reporter:
    match fact:
        case BadFaithFound():
            return replace(reporter, in_bad_faith=reporter.in_bad_faith | {fact.report_id})
        case BadFaithWithdrawn():
            return replace(reporter, in_bad_faith=reporter.in_bad_faith - {fact.report_id})
        case SuspensionAllowed():
            return replace(reporter, suspends={**reporter.suspends, fact.client_id: at})
        case _:
            assert_never(fact)
