"""What a report and a first contact lead to under the policy."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from holdspace.moderation.v1.events_pb2 import ClientReported, Severity
from holdspace.moderation.v1.private_pb2 import ContactSeen, ReportWeighed, SuspensionDue
from kernel.errors import Rejected
from kernel.gates import Gate
from services.moderation.domain.client_standing import CLOSED, GOOD, ClientStanding, Fact, after
from services.moderation.domain.measures import braked, named, suspended
from services.moderation.domain.policy import Policy
from services.moderation.domain.reporter import Reporter
from services.moderation.domain.reports import BRAKE, SUSPENSION, Report, able, may_count, scoring, tally

Allowed = Mapping[str, bool]
"""By reporter: whether their reports may suspend this client by themselves. A suspension takes an answer for each
reporter it rests on.
"""


class NotAsked(Exception):  # noqa: N818 - names the finding
    """A suspension is due that rests on the reports of these, and some have not been asked for."""

    def __init__(self, reporter_ids: Sequence[str]) -> None:
        super().__init__(*reporter_ids)
        self.reporter_ids = reporter_ids


@dataclass(frozen=True, slots=True)
class ReportClient:
    client_id: str
    reporter_id: str
    report_id: str
    severity: Severity.ValueType
    conversation_id: str  # with `last_message_sequence`: the last message the reporter knows of, if they name one
    last_message_sequence: int
    policy: Policy
    now: datetime
    allowed: Allowed = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NoteContact:
    """The client wrote to this therapist."""

    client_id: str
    therapist_id: str
    now: datetime


@dataclass(frozen=True, slots=True)
class TakeStock:
    """Reports that were recorded before have come to score. Asked for by a timer: what follows happens now, even where
    the contact is imported history.
    """

    client_id: str
    policy: Policy
    now: datetime
    allowed: Allowed = field(default_factory=dict)


def report_id(reporter_id: str, client_id: str, request_id: str) -> str:
    """Returns the id of the report that a request makes, however often and by whatever service it comes: 32 hexadecimal
    digits of a digest over the three.
    """
    return hashlib.sha256(f"{reporter_id}\n{client_id}\n{request_id}".encode()).hexdigest()[:32]


def report(
    command: ReportClient, standing: ClientStanding, *, enrolment: Gate, as_client: ClientStanding, reporter: Reporter
) -> list[Fact]:
    """`enrolment`, `as_client` (their own standing) and `reporter` are the reporter's. Raises NotAsked."""
    if (known := standing.reports.get(command.report_id)) is not None:
        if not is_the_same(known, command):
            raise Rejected("REQUEST_REUSED", "request_id")
        return []  # A retried report is still one report.
    may_report(command, standing, enrolment)
    reported = ClientReported(
        client_id=command.client_id,
        report_id=command.report_id,
        reporter_id=command.reporter_id,
        severity=command.severity,
        conversation_id=command.conversation_id,
        last_message_sequence=command.last_message_sequence,
    )
    weighed = ReportWeighed(
        client_id=command.client_id,
        report_id=command.report_id,
        reporter_id=command.reporter_id,
        reliability=reporter.reliability(command.policy),
        in_good_standing=as_client.at(command.now) not in CLOSED,
        needs_person=not command.allowed.get(command.reporter_id, True),
    )
    told = after(standing, [reported, weighed], command.now)
    scores = told.reports[command.report_id] in scoring(told.reports, told.contacts, command.policy, command.now)
    return [reported, weighed, *(measure(command, told) if scores else ())]


def is_the_same(known: Report, command: ReportClient) -> bool:
    """Returns whether a report of the same id was made with the same values."""
    return (known.severity, known.conversation_id, known.last_message_sequence) == (
        command.severity, command.conversation_id, command.last_message_sequence
    )  # fmt: skip


def may_report(command: ReportClient, standing: ClientStanding, enrolment: Gate) -> None:
    if command.reporter_id == command.client_id:
        raise Rejected("REPORT_OF_ONESELF", "reporter_id")
    if enrolment.at(command.now) != "ENROLLED":
        enrolment.must_be_fresh()
        raise Rejected("REPORTER_UNKNOWN", "reporter_id")
    if len(waiting(command, standing)) >= command.policy.open_reports_max:
        raise Rejected("OPEN_REPORTS_TOO_MANY", "reporter_id")


def waiting(command: ReportClient, standing: ClientStanding) -> list[Report]:
    """Returns the reporter's undecided reports as grave as this one: lesser ones never keep a graver one out."""
    own = [report for report in standing.reports.values() if report.reporter_id == command.reporter_id]
    weight = command.policy.weights[command.severity]
    return [r for r in own if r.is_undecided and command.policy.weights[r.severity] >= weight]


def note_contact(command: NoteContact, standing: ClientStanding) -> list[Fact]:
    """From a contact on, what the therapist reported before scores as well."""
    if command.therapist_id in standing.contacts:
        return []
    return [ContactSeen(client_id=command.client_id, therapist_id=command.therapist_id)]


def take_stock(command: TakeStock, standing: ClientStanding) -> list[Fact]:
    return measure(command, standing)


def measure(command: ReportClient | TakeStock, standing: ClientStanding) -> list[Fact]:
    """Returns what the policy does, if anything, when reports have come to score.

    What is in force stays as it is unless this is graver: nothing but a person prolongs a measure. Raises NotAsked.
    """
    client_id, policy, now = command.client_id, command.policy, command.now
    if standing.at(now) in CLOSED:
        return []
    votes = scoring(standing.reports, standing.contacts, policy, now)
    if grounds := grounds_to_suspend(votes, policy):
        if not_asked(command, grounds):
            return due(command, grounds)
        if barred := not_allowed(command, grounds):
            return [*barred, *measure(command, after(standing, barred, now))]
        return [suspended(client_id, now + policy.review, policy, named(grounds))]
    grounds = able(votes, BRAKE, policy)
    if standing.at(now) == GOOD and tally(grounds, policy).reaches(policy.brake):
        return [braked(client_id, now + policy.brake_term, policy, named(grounds))]
    return []


def not_asked(command: ReportClient | TakeStock, grounds: Sequence[Report]) -> set[str]:
    return {report.reporter_id for report in grounds} - command.allowed.keys()


def due(command: ReportClient | TakeStock, grounds: Sequence[Report]) -> list[Fact]:
    """A report is answered once its reporters are asked for; without a call that waits it is done by a reaction."""
    if isinstance(command, ReportClient):
        raise NotAsked(sorted(not_asked(command, grounds) | command.allowed.keys()))
    return [SuspensionDue(client_id=command.client_id, report_ids=named(grounds))]


def not_allowed(command: ReportClient | TakeStock, grounds: Sequence[Report]) -> list[Fact]:
    """Returns what takes the reports out of the grounds that suspend nobody before a person decides about them."""
    return [
        ReportWeighed(
            client_id=command.client_id,
            report_id=report.report_id,
            reporter_id=report.reporter_id,
            reliability=report.reliability,
            in_good_standing=report.in_good_standing,
            needs_person=True,
        )
        for report in grounds
        if report.is_undecided and not command.allowed[report.reporter_id]
    ]


def grounds_to_suspend(votes: Sequence[Report], policy: Policy) -> list[Report]:
    """Returns the reports that suspend the client, none when they do not.

    One that a person decided about suspends nobody at once: whoever decided had every measure at hand.
    """
    grounds = able(votes, SUSPENSION, policy)
    if tally(grounds, policy).reaches(policy.suspension):
        return grounds
    return [report for report in votes if suspends_at_once(report, policy)]


def suspends_at_once(report: Report, policy: Policy) -> bool:
    """Returns whether one report is enough. Another one of its reporter is as well: it tells of another danger."""
    is_grave = report.severity == policy.suspends_at_once and report.in_good_standing
    return is_grave and report.is_undecided and may_count(report, SUSPENSION)
