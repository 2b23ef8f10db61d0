"""What moderators decide. A decision about a report says whether it was right; a measure is a decision of its own."""

from dataclasses import dataclass
from datetime import datetime

from holdspace.moderation.v1.events_pb2 import (
    ClientBanned,
    ClientReinstated,
    ClientWarned,
    Finding,
    Reinstatement,
    ReportDecided,
    SuspensionConfirmed,
)
from kernel.errors import Rejected
from kernel.facts import timestamp
from services.moderation.domain.client_standing import BANNED, GOOD, SUSPENDED, ClientStanding, Fact, standing_phase
from services.moderation.domain.measures import braked, named, suspended, suspension
from services.moderation.domain.policy import Policy


@dataclass(frozen=True, slots=True)
class DecideReport:
    client_id: str
    moderator_id: str
    report_id: str
    finding: Finding.ValueType
    now: datetime


@dataclass(frozen=True, slots=True)
class WarnClient:
    client_id: str
    moderator_id: str
    policy: Policy
    now: datetime


@dataclass(frozen=True, slots=True)
class BrakeClient:
    client_id: str
    moderator_id: str
    until: datetime | None  # None: as long as the policy brakes
    policy: Policy
    now: datetime


@dataclass(frozen=True, slots=True)
class SuspendClient:
    client_id: str
    moderator_id: str
    until: datetime | None  # None: without an end
    policy: Policy
    now: datetime


@dataclass(frozen=True, slots=True)
class ConfirmSuspension:
    client_id: str
    moderator_id: str
    until: datetime | None  # None: without an end
    policy: Policy
    now: datetime


@dataclass(frozen=True, slots=True)
class ReinstateClient:
    client_id: str
    moderator_id: str
    reinstatement: Reinstatement.ValueType
    now: datetime


@dataclass(frozen=True, slots=True)
class BanClient:
    client_id: str
    moderator_id: str
    now: datetime


Timed = BrakeClient | SuspendClient | ConfirmSuspension
Command = DecideReport | WarnClient | Timed | ReinstateClient | BanClient


def decide_report(command: DecideReport, standing: ClientStanding) -> list[Fact]:
    report = standing.reports.get(command.report_id)
    if report is None:
        raise Rejected("REPORT_UNKNOWN", "report_id")
    impartial(command, standing)
    decided = ReportDecided(
        client_id=command.client_id,
        report_id=command.report_id,
        reporter_id=report.reporter_id,
        finding=command.finding,
        moderator_id=command.moderator_id,
    )
    return [decided]


def warn(command: WarnClient, standing: ClientStanding) -> list[Fact]:
    impartial(command, standing)
    warned = ClientWarned(
        client_id=command.client_id,
        moderator_id=command.moderator_id,
        policy_version=command.policy.version,
        report_ids=opened(standing),
    )
    return [warned]


def brake(command: BrakeClient, standing: ClientStanding) -> list[Fact]:
    impartial(command, standing)
    not_banned(command, standing)
    if standing.at(command.now) == SUSPENDED:
        raise Rejected("CLIENT_SUSPENDED", "client_id")
    end_in_range(command)
    until = command.until or command.now + command.policy.brake_term
    return [braked(command.client_id, until, command.policy, opened(standing), command.moderator_id)]


def suspend(command: SuspendClient, standing: ClientStanding) -> list[Fact]:
    impartial(command, standing)
    not_banned(command, standing)
    end_in_range(command)
    return [suspended(command.client_id, command.until, command.policy, opened(standing), command.moderator_id)]


def confirm(command: ConfirmSuspension, standing: ClientStanding) -> list[Fact]:
    impartial(command, standing)
    if not standing.is_provisional:
        raise Rejected("NOT_PROVISIONAL", "client_id")
    end_in_range(command)
    confirmed = SuspensionConfirmed(
        client_id=command.client_id,
        standing=suspension(command.until, command.policy),
        suspended_until=None if command.until is None else timestamp(command.until),
        moderator_id=command.moderator_id,
        report_ids=judged(standing),
    )
    return [confirmed]


def reinstate(command: ReinstateClient, standing: ClientStanding) -> list[Fact]:
    """A measure that ended by time is reversed too: what it withheld comes back."""
    impartial(command, standing)
    if standing.is_reinstated:
        raise Rejected("NOTHING_TO_REINSTATE", "client_id")
    reinstated = ClientReinstated(
        client_id=command.client_id,
        standing=[standing_phase(GOOD)],
        reinstatement=command.reinstatement,
        moderator_id=command.moderator_id,
        report_ids=judged(standing),
    )
    return [reinstated]


def ban(command: BanClient, standing: ClientStanding) -> list[Fact]:
    impartial(command, standing)
    not_banned(command, standing)
    banned = ClientBanned(
        client_id=command.client_id,
        standing=[standing_phase(BANNED)],
        moderator_id=command.moderator_id,
        report_ids=opened(standing),
    )
    return [banned]


def opened(standing: ClientStanding) -> list[str]:
    """Returns the reports that are open before the moderator: undecided or upheld."""
    return named(report for report in standing.reports.values() if report.is_open)


def judged(standing: ClientStanding) -> list[str]:
    """Returns the reports of the measure that the moderator confirms or ends, and those that are open."""
    return named(r for r in standing.reports.values() if r.is_open or r.report_id in standing.grounds)


def impartial(command: Command, standing: ClientStanding) -> None:
    """Who is reported, or ever reported them, decides nothing about them, whichever report it is about."""
    reporters = {report.reporter_id for report in standing.reports.values()}
    if command.moderator_id in {command.client_id, *reporters}:
        raise Rejected("MODERATOR_INVOLVED", "moderator_id")


def not_banned(command: Command, standing: ClientStanding) -> None:
    if standing.at(command.now) == BANNED:
        raise Rejected("CLIENT_BANNED", "client_id")


def end_in_range(command: Timed) -> None:
    if command.until is not None and not command.now < command.until <= command.now + command.policy.term_max:
        raise Rejected("END_OUT_OF_RANGE", "until")
