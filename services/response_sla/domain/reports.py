"""What one therapist's reports about one client came to: which waits of the pair they exclude."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from holdspace.moderation.v1.events_pb2 import FINDING_BAD_FAITH
from services.response_sla.domain.inputs import FiledReport, ReportDecision, SentMessage, StandingChange
from services.response_sla.domain.policy import Policies
from services.response_sla.domain.timeline import Turn
from services.response_sla.domain.wait import Exclusion, Wait


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


NOTHING_REPORTED = Judged()


def judge(therapist_id: str, turns: Sequence[Turn], policies: Policies) -> Judged:
    """Takes the inputs of a conversation in order. Each report is judged by the policy in force when it was made.

    A later decision about a report replaces the finding. What a report excludes ends with the first decision about it,
    with the next lift, or after the longest time undecided, whichever comes first.
    """
    filed = [
        (number, turn)
        for number, turn in enumerate(turns)
        if isinstance(turn, FiledReport) and turn.reporter_id == therapist_id
    ]
    if not filed:
        return NOTHING_REPORTED
    decisions: dict[str, list[ReportDecision]] = {}
    for turn in turns:
        if isinstance(turn, ReportDecision):
            decisions.setdefault(turn.report_id, []).append(turn)
    bad_faith = frozenset(
        report.report_id
        for _, report in filed
        if report.report_id in decisions and decisions[report.report_id][-1].finding == FINDING_BAD_FAITH
    )
    straight_away = {
        report.report_id: _exclusion(report, decisions.get(report.report_id, []), turns[number:], policies)
        for number, report in filed
        if report.report_id not in bad_faith and is_straight_away(report, turns[:number], policies)
    }
    return Judged(straight_away, bad_faith)


def is_straight_away(report: FiledReport, before: Sequence[Turn], policies: Policies) -> bool:
    """Takes what came before the report. Returns whether the therapist had never answered, and still was within the
    first-response target of the client's first message.
    """
    messages = [turn for turn in before if isinstance(turn, SentMessage)]
    if any(not message.from_client and not message.automatic for message in messages):
        return False
    first = next((message.at for message in messages if message.from_client), None)
    return first is not None and report.at - first <= policies.at(report.at).first_target


def _exclusion(
    report: FiledReport, decisions: Sequence[ReportDecision], after: Sequence[Turn], policies: Policies
) -> StraightAway:
    undecided = report.at + policies.at(report.at).undecided_max
    decided = [decision.at for decision in decisions[:1]]
    lifted = [turn.at for turn in after if isinstance(turn, StandingChange) and turn.lifted][:1]
    return StraightAway(min([undecided, *decided, *lifted]), final=bool(decisions))
