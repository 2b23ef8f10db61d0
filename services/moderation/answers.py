"""What moderation knows, as its API tells it."""

from collections import Counter
from datetime import datetime
from typing import Any

from holdspace.moderation.v1 import service_pb2 as api
from holdspace.moderation.v1.events_pb2 import (
    FINDING_BAD_FAITH,
    FINDING_DISMISSED,
    FINDING_UNSPECIFIED,
    FINDING_UPHELD,
)
from kernel.facts import timestamp
from services.moderation.domain.client_standing import BANNED, BRAKED, GOOD, SUSPENDED, ClientStanding
from services.moderation.domain.policy import Policy
from services.moderation.domain.reports import Report, scoring, tally

STATES = {
    GOOD: api.STATE_GOOD,
    BRAKED: api.STATE_BRAKED,
    SUSPENDED: api.STATE_SUSPENDED,
    BANNED: api.STATE_BANNED,
}


def standing_of(client_id: str, standing: ClientStanding, at: datetime, policy: Policy) -> api.ClientStanding:
    """Returns the standing at an instant, its score by this policy."""
    counted = tally(scoring(standing.reports, standing.contacts, policy, at), policy)
    since = standing.since(at)
    return api.ClientStanding(
        client_id=client_id,
        state=STATES[standing.at(at)],
        since=None if since is None else timestamp(since),
        phases=[phase_of(span.state, span.until) for span in standing.phases_from(at)],
        provisional=standing.is_provisional and standing.at(at) == SUSPENDED,
        score=counted.score,
        reporters=counted.reporters,
        reports=counts_of(standing),
        warnings=standing.warnings,
        policy_version=policy.version,
        booking_ids_lost=standing.booking_ids_lost,
    )


def phase_of(state: str, until: datetime | None) -> api.StandingPhase:
    return api.StandingPhase(state=STATES[state], until=None if until is None else timestamp(until))


def counts_of(standing: ClientStanding) -> api.ReportCounts:
    found = Counter(report.finding for report in standing.reports.values())
    return api.ReportCounts(
        undecided=found[FINDING_UNSPECIFIED],
        upheld=found[FINDING_UPHELD],
        dismissed=found[FINDING_DISMISSED],
        bad_faith=found[FINDING_BAD_FAITH],
        without_contact=sum(report.reporter_id not in standing.contacts for report in standing.reports.values()),
    )


def report_of(client_id: str, report: Report, *, contact_seen: bool) -> api.Report:
    return api.Report(
        report_id=report.report_id,
        client_id=client_id,
        reporter_id=report.reporter_id,
        severity=report.severity,
        reported_at=timestamp(report.at),
        contact_seen=contact_seen,
        finding=report.finding,
        decided_at=None if report.decided_at is None else timestamp(report.decided_at),
        moderator_id=report.moderator_id,
        needs_person=report.needs_person,
        conversation_id=report.conversation_id,
        last_message_sequence=report.last_message_sequence,
    )


def report_of_row(row: Any) -> api.Report:  # noqa: ANN401 - a row
    return api.Report(
        report_id=row["report_id"],
        client_id=row["client_id"],
        reporter_id=row["reporter_id"],
        severity=row["severity"],
        reported_at=timestamp(row["reported_at"]),
        contact_seen=row["contact_seen"],
        finding=row["finding"],
        decided_at=None if row["decided_at"] is None else timestamp(row["decided_at"]),
        moderator_id=row["moderator_id"],
        needs_person=row["needs_person"],
        conversation_id=row["conversation_id"],
        last_message_sequence=row["last_message_sequence"],
    )
