"""What one therapist's reports about one client came to: which waits of the pair they exclude."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from holdspace.moderation.v1.events_pb2 import FINDING_BAD_FAITH
from services.response_sla.domain.inputs import (
    ClientInput,
    FiledReport,
    Order,
    ReportDecision,
    SentMessage,
    StandingChange,
    order,
)
from services.response_sla.domain.policy import Policy
from services.response_sla.domain.wait import Exclusion, Wait


@dataclass(frozen=True, slots=True)
class Contact:
    """The earliest of each side: the client's first message, and the therapist's first by a person."""

    first_message: SentMessage | None = None
    first_reply: SentMessage | None = None

    def with_message(self, message: SentMessage) -> "Contact":
        """Returns the contact with one more message, from whatever time."""
        if message.from_client:
            first = _earlier(self.first_message, message)
            return self if first is self.first_message else Contact(first, self.first_reply)
        if message.automatic:
            return self
        reply = _earlier(self.first_reply, message)
        return self if reply is self.first_reply else Contact(self.first_message, reply)


@dataclass(frozen=True, slots=True)
class StraightAway:
    """Excludes every wait of the pair opened up to and at an instant."""

    until: datetime
    final: bool


@dataclass(frozen=True, slots=True)
class Judged:
    """`straight_away`: by report, in the order they were filed. `bad_faith`: reports that count as never made."""

    straight_away: Mapping[str, StraightAway] = field(default_factory=dict)
    bad_faith: frozenset[str] = frozenset()

    def rests_on_bad_faith(self, change: StandingChange) -> bool:
        """Returns whether a measure has no other ground than what this therapist reported in bad faith."""
        return bool(change.report_ids) and self.bad_faith.issuperset(change.report_ids)

    def excluding(self, wait: Wait) -> Wait:
        """Returns the wait with the first report that excludes it, or with none."""
        excluding = (
            Exclusion(report_id, report.final)
            for report_id, report in self.straight_away.items()
            if wait.opened_at <= report.until
        )
        return replace(wait, exclusion=next(excluding, None))


def judge(therapist_id: str, contact: Contact, inputs: Sequence[ClientInput], policy: Policy) -> Judged:
    """Takes the client's inputs in order.

    A later decision about a report replaces the finding. What a report excludes ends with the first decision about it,
    with the next lift, or after the longest time undecided, whichever comes first.
    """
    reports = [item for item in inputs if isinstance(item, FiledReport) and item.reporter_id == therapist_id]
    if not reports:
        return Judged()
    decisions: dict[str, list[ReportDecision]] = {}
    for item in inputs:
        if isinstance(item, ReportDecision):
            decisions.setdefault(item.report_id, []).append(item)
    lifts = [order(item) for item in inputs if isinstance(item, StandingChange) and item.lifted]
    bad_faith = frozenset(
        report.report_id
        for report in reports
        if report.report_id in decisions and decisions[report.report_id][-1].finding == FINDING_BAD_FAITH
    )
    straight_away = {
        report.report_id: _exclusion(report, decisions.get(report.report_id, []), lifts, policy)
        for report in reports
        if report.report_id not in bad_faith and is_straight_away(report, contact, policy)
    }
    return Judged(straight_away, bad_faith)


def is_straight_away(report: FiledReport, contact: Contact, policy: Policy) -> bool:
    """Returns whether the therapist had never answered, and still was within the first-response target of the client's
    first message, both when the report was made.
    """
    filed = order(report)
    if contact.first_message is None or order(contact.first_message) > filed:
        return False
    answered = contact.first_reply is not None and order(contact.first_reply) < filed
    return not answered and report.at - contact.first_message.at <= policy.first_target


def _exclusion(
    report: FiledReport, decisions: Sequence[ReportDecision], lifts: Sequence[Order], policy: Policy
) -> StraightAway:
    undecided = report.at + policy.undecided_max
    decided = [decision.at for decision in decisions[:1]]
    lifted = [at for at, *_ in lifts[bisect_right(lifts, order(report)) :][:1]]
    return StraightAway(min([undecided, *decided, *lifted]), final=bool(decisions))


def _earlier(known: SentMessage | None, message: SentMessage) -> SentMessage:
    return message if known is None or order(message) < order(known) else known
