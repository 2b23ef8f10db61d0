"""A client's standing: a pure fold of what was reported and decided about them.

What ends by time needs no fact to end: the phases say until when, and whoever reads them evaluates them at an instant.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import assert_never

from holdspace.kernel.v1.gate_pb2 import Phase
from holdspace.moderation.v1.events_pb2 import (
    BrakeLapsed,
    ClientBanned,
    ClientBraked,
    ClientReinstated,
    ClientReported,
    ClientSuspended,
    ClientWarned,
    ReportDecided,
    SuspensionConfirmed,
    SuspensionLapsed,
)
from holdspace.moderation.v1.private_pb2 import BookingLost, ContactSeen, ReportWeighed, SuspensionDue
from kernel.gates import Span, Spans, phase, span_at, spans_of
from services.moderation.domain.reports import Report, braking, close, suspending

GOOD, BRAKED, SUSPENDED, BANNED = "GOOD", "BRAKED", "SUSPENDED", "BANNED"
CLOSED = (SUSPENDED, BANNED)

StandingFact = (
    ClientBraked
    | ClientSuspended
    | SuspensionConfirmed
    | ClientBanned
    | ClientReinstated
    | SuspensionLapsed
    | BrakeLapsed
)
Fact = (
    ContactSeen
    | ClientReported
    | ReportWeighed
    | ReportDecided
    | ClientWarned
    | BookingLost
    | SuspensionDue
    | StandingFact
)


@dataclass(frozen=True, slots=True)
class ClientStanding:
    phases: Spans = (Span(GOOD),)
    decided_at: datetime | None = None  # when the phases began; None: nothing was ever decided
    is_provisional: bool = False  # the suspension in force waits for a person to confirm it
    is_reinstated: bool = True  # no measure was taken since a person last gave the standing back
    grounds: tuple[str, ...] = ()  # the reports that the measure taken last rests on
    warnings: int = 0
    version: int = 0  # facts folded, which is the version of the last one in the stream
    lift_version: int = 0  # of the last reinstatement
    booking_ids_lost: tuple[str, ...] = ()  # what that reinstatement could not give back
    reports: Mapping[str, Report] = field(default_factory=dict)  # by id, in the order they came
    contacts: frozenset[str] = frozenset()  # therapists the client wrote to
    as_of: datetime | None = None  # when the last fact happened

    def at(self, now: datetime) -> str:
        """Returns the state at an instant."""
        return span_at(self.phases, now).state

    def phases_from(self, now: datetime) -> Spans:
        """Returns the phases that are not over at an instant."""
        return tuple(span for span in self.phases if span.until is None or now < span.until)

    def since(self, now: datetime) -> datetime | None:
        """Returns when the state at an instant began."""
        return max((s.until for s in self.phases if s.until is not None and s.until <= now), default=self.decided_at)


def standing_phase(state: str, until: datetime | None = None) -> Phase:
    """Returns a phase of a standing. Whether a state is closed is said here, for every service."""
    return phase(state, until, closed=state in CLOSED)


def after(standing: ClientStanding, facts: Iterable[Fact], at: datetime) -> ClientStanding:
    for fact in facts:
        standing = evolve(standing, fact, at)
    return standing


def evolve(standing: ClientStanding, fact: Fact, at: datetime) -> ClientStanding:
    standing = replace(standing, as_of=at, version=standing.version + 1)
    match fact:
        case ContactSeen():
            return replace(standing, contacts=standing.contacts | {fact.therapist_id})
        case ClientReported():
            return with_report(standing, report_of(fact, at))
        case ReportWeighed():
            weighed = replace(
                standing.reports[fact.report_id],
                reliability=fact.reliability,
                in_good_standing=fact.in_good_standing,
                needs_person=fact.needs_person,
            )
            return with_report(standing, weighed)
        case SuspensionDue():
            return standing
        case ReportDecided():
            report = standing.reports[fact.report_id]
            decided = replace(report, finding=fact.finding, decided_at=at, moderator_id=fact.moderator_id)
            return with_report(standing, decided)
        case ClientWarned():
            return replace(standing, warnings=standing.warnings + 1, reports=close(standing.reports))
        case BookingLost():
            return with_lost(standing, fact)
        case _:
            return with_measure(replace(standing, phases=spans_of(fact.standing), decided_at=at), fact)


def with_measure(standing: ClientStanding, fact: StandingFact) -> ClientStanding:
    match fact:
        case ClientBraked() | ClientSuspended():
            provisional = isinstance(fact, ClientSuspended) and fact.provisional
            return replace(measured(standing, fact), is_provisional=provisional)
        case SuspensionConfirmed() | ClientBanned():
            return replace(measured(standing, fact), is_provisional=False)
        case SuspensionLapsed():
            return replace(standing, is_provisional=False)
        case BrakeLapsed():
            return standing
        case ClientReinstated():
            return replace(
                standing,
                is_provisional=False,
                is_reinstated=True,
                grounds=(),
                lift_version=standing.version,
                booking_ids_lost=(),
                reports=close(standing.reports),
            )
        case _:
            assert_never(fact)


def measured(
    standing: ClientStanding, fact: ClientBraked | ClientSuspended | SuspensionConfirmed | ClientBanned
) -> ClientStanding:
    """Returns the standing once a measure was taken: by a person, or by the policy, which counts what it rests on."""
    reports = dict(standing.reports)
    if fact.moderator_id:
        reports = close(reports)
    else:
        rests = suspending if isinstance(fact, ClientSuspended) else braking
        reports |= {report_id: rests(reports[report_id]) for report_id in fact.report_ids}
    return replace(standing, is_reinstated=False, grounds=tuple(fact.report_ids), reports=reports)


def with_lost(standing: ClientStanding, fact: BookingLost) -> ClientStanding:
    """What an earlier reinstatement could not give back is none of the last one's losses."""
    if fact.lift_version != standing.lift_version:
        return standing
    return replace(standing, booking_ids_lost=(*standing.booking_ids_lost, fact.booking_id))


def report_of(fact: ClientReported, at: datetime) -> Report:
    return Report(
        report_id=fact.report_id,
        reporter_id=fact.reporter_id,
        severity=fact.severity,
        at=at,
        conversation_id=fact.conversation_id,
        last_message_sequence=fact.last_message_sequence,
    )


def with_report(standing: ClientStanding, report: Report) -> ClientStanding:
    return replace(standing, reports={**standing.reports, report.report_id: report})
