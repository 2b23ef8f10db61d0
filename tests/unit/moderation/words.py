"""The words of moderation's sentences: facts, commands and times, short enough to read a test aloud."""

from datetime import datetime, timedelta

from holdspace.kernel.v1.gate_pb2 import Phase
from holdspace.moderation.v1.events_pb2 import (
    FINDING_BAD_FAITH,
    FINDING_DISMISSED,
    FINDING_UPHELD,
    REINSTATEMENT_LIFTED,
    REINSTATEMENT_REVERSED,
    SEVERITY_DANGER,
    SEVERITY_HARASSMENT,
    SEVERITY_SPAM,
    BrakeLapsed,
    ClientBanned,
    ClientBraked,
    ClientReinstated,
    ClientReported,
    ClientSuspended,
    ClientWarned,
    Finding,
    Reinstatement,
    ReportDecided,
    Severity,
    SuspensionConfirmed,
    SuspensionLapsed,
)
from holdspace.moderation.v1.private_pb2 import BookingLost, ContactSeen, ReportWeighed
from kernel.decision import Decision
from kernel.facts import timestamp
from services.moderation.app import CLIENT_STANDING, ROUTES
from services.moderation.domain.client_standing import ClientStanding
from services.moderation.domain.decisions import (
    BanClient,
    BrakeClient,
    ConfirmSuspension,
    DecideReport,
    ReinstateClient,
    SuspendClient,
    WarnClient,
)
from services.moderation.domain.policy import DEFAULT
from services.moderation.domain.reporter import Reporter
from services.moderation.domain.reporting import NoteContact, ReportClient, TakeStock
from services.moderation.domain.restoration import NoteBookingLost
from services.moderation.domain.timers import RecordEnds
from tests.gates import gate, told_phase
from tests.sentences import START, Sentences, by_name

SPAM, HARASSMENT, DANGER = SEVERITY_SPAM, SEVERITY_HARASSMENT, SEVERITY_DANGER
UPHELD, DISMISSED, BAD_FAITH = FINDING_UPHELD, FINDING_DISMISSED, FINDING_BAD_FAITH
LIFTED, REVERSED = REINSTATEMENT_LIFTED, REINSTATEMENT_REVERSED
CLIENT, MODERATOR = "client", "moderator"
DAY = 24.0

DECIDERS = {route.command: route.decide for route in ROUTES}
ENROLLED = gate("ENROLLED")
ALLOWED = dict.fromkeys([f"t{number}" for number in range(50)], True)
"""Every reporter's reports suspend by themselves, unless a sentence says otherwise."""
RELIABLE = (ENROLLED, ClientStanding(), Reporter())
"""What a report reads, unless a sentence says otherwise: its reporter is enrolled, in good standing and reliable."""


given = Sentences(CLIENT_STANDING, DECIDERS, {ReportClient: RELIABLE}).given


def decide(command: object, standing: ClientStanding, *read: object) -> Decision:
    decider = DECIDERS[type(command)]
    return decider(command, standing, **by_name(decider, read or (RELIABLE if type(command) is ReportClient else ())))


def hour(hours: float) -> datetime:
    return START + timedelta(hours=hours)


# Commands. `at`: hours after the start.


def report(
    report_id: str,
    severity: Severity.ValueType,
    by: str = "t1",
    at: float = 1,
    *,
    last_message: tuple[str, int] = ("", 0),
) -> ReportClient:
    """`last_message`: the conversation and sequence of the last one the reporter knows of."""
    return ReportClient(CLIENT, by, report_id, severity, *last_message, DEFAULT, hour(at), ALLOWED)


def contact(therapist_id: str, at: float = 1) -> NoteContact:
    return NoteContact(CLIENT, therapist_id, hour(at))


def take_stock(at: float = 1) -> TakeStock:
    return TakeStock(CLIENT, DEFAULT, hour(at), ALLOWED)


def decide_report(report_id: str, finding: Finding.ValueType, by: str = MODERATOR, at: float = 1) -> DecideReport:
    return DecideReport(CLIENT, by, report_id, finding, hour(at))


def warn(by: str = MODERATOR, at: float = 1) -> WarnClient:
    return WarnClient(CLIENT, by, DEFAULT, hour(at))


def brake(until: float | None = None, by: str = MODERATOR, at: float = 1) -> BrakeClient:
    return BrakeClient(CLIENT, by, None if until is None else hour(until), DEFAULT, hour(at))


def suspend(until: float | None = None, by: str = MODERATOR, at: float = 1) -> SuspendClient:
    return SuspendClient(CLIENT, by, None if until is None else hour(until), DEFAULT, hour(at))


def confirm(until: float | None = None, by: str = MODERATOR, at: float = 1) -> ConfirmSuspension:
    return ConfirmSuspension(CLIENT, by, None if until is None else hour(until), DEFAULT, hour(at))


def reinstate(kind: Reinstatement.ValueType = LIFTED, by: str = MODERATOR, at: float = 1) -> ReinstateClient:
    return ReinstateClient(CLIENT, by, kind, hour(at))


def ban(by: str = MODERATOR, at: float = 1) -> BanClient:
    return BanClient(CLIENT, by, hour(at))


def note_booking_lost(booking_id: str, lift_version: int = 0, at: float = 1) -> NoteBookingLost:
    return NoteBookingLost(CLIENT, booking_id, lift_version, hour(at))


def record_ends(at: float) -> RecordEnds:
    return RecordEnds(CLIENT, hour(at))


# Facts. Times are hours after the start.


def contact_seen(therapist_id: str = "t1") -> ContactSeen:
    return ContactSeen(client_id=CLIENT, therapist_id=therapist_id)


def reported(
    report_id: str,
    severity: Severity.ValueType,
    by: str = "t1",
    reliability: int = 1_000,
    *,
    in_good_standing: bool = True,
    needs_person: bool = False,
) -> tuple[ClientReported, ReportWeighed]:
    names = {"client_id": CLIENT, "report_id": report_id, "reporter_id": by}
    return (
        ClientReported(**names, severity=severity),
        ReportWeighed(
            **names, reliability=reliability, in_good_standing=in_good_standing, needs_person=needs_person
        ),
    )  # fmt: skip


def decided(report_id: str, finding: Finding.ValueType, reporter: str = "t1", by: str = MODERATOR) -> ReportDecided:
    return ReportDecided(client_id=CLIENT, report_id=report_id, reporter_id=reporter, finding=finding, moderator_id=by)


def warned(*report_ids: str) -> ClientWarned:
    return ClientWarned(client_id=CLIENT, moderator_id=MODERATOR, policy_version=DEFAULT.version, report_ids=report_ids)


def braked(until: float, *report_ids: str, by: str = "") -> ClientBraked:
    return ClientBraked(
        client_id=CLIENT,
        standing=[told_phase("BRAKED", hour(until)), told_phase("GOOD")],
        braked_until=timestamp(hour(until)),
        report_ids=report_ids,
        moderator_id=by,
        policy_version=DEFAULT.version,
    )


def suspended(until: float | None, *report_ids: str, by: str = "") -> ClientSuspended:
    """Provisional unless by a moderator."""
    return ClientSuspended(
        client_id=CLIENT,
        standing=suspended_phases(until),
        suspended_until=None if until is None else timestamp(hour(until)),
        braked_until=None if until is None else timestamp(hour(until + 7 * DAY)),
        provisional=not by,
        report_ids=report_ids,
        moderator_id=by,
        policy_version=DEFAULT.version,
    )


def confirmed(until: float | None = None, *report_ids: str) -> SuspensionConfirmed:
    return SuspensionConfirmed(
        client_id=CLIENT,
        standing=suspended_phases(until),
        suspended_until=None if until is None else timestamp(hour(until)),
        moderator_id=MODERATOR,
        report_ids=report_ids,
    )


def suspended_phases(until: float | None) -> list[Phase]:
    if until is None:
        return [told_phase("SUSPENDED")]
    return [told_phase("SUSPENDED", hour(until)), told_phase("BRAKED", hour(until + 7 * DAY)), told_phase("GOOD")]


def banned(*report_ids: str) -> ClientBanned:
    return ClientBanned(
        client_id=CLIENT, standing=[told_phase("BANNED")], moderator_id=MODERATOR, report_ids=report_ids
    )


def reinstated(kind: Reinstatement.ValueType = LIFTED, *report_ids: str) -> ClientReinstated:
    return ClientReinstated(
        client_id=CLIENT,
        standing=[told_phase("GOOD")],
        reinstatement=kind,
        moderator_id=MODERATOR,
        report_ids=report_ids,
    )


def suspension_lapsed(braked_until: float) -> SuspensionLapsed:
    return SuspensionLapsed(client_id=CLIENT, standing=[told_phase("BRAKED", hour(braked_until)), told_phase("GOOD")])


def brake_lapsed() -> BrakeLapsed:
    return BrakeLapsed(client_id=CLIENT, standing=[told_phase("GOOD")])


def booking_lost(booking_id: str, lift_version: int) -> BookingLost:
    return BookingLost(client_id=CLIENT, booking_id=booking_id, lift_version=lift_version)
