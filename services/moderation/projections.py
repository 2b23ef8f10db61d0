"""Moderation's facts as rows: the reports and what became of them."""

from pathlib import Path

from holdspace.kernel.v1.gate_pb2 import GateCopied
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
from holdspace.moderation.v1.private_pb2 import (
    BadFaithFound,
    BadFaithWithdrawn,
    BookingLost,
    ContactSeen,
    ReportWeighed,
)
from kernel.own_facts import OwnFact
from kernel.read_model import ReadModel, Write
from kernel.sql import queries

HERE = Path(__file__).parent


def report_row(fact: OwnFact, reported: ClientReported) -> tuple[object, ...]:
    return (reported.report_id, reported.client_id, reported.reporter_id, reported.severity, fact.occurred_at)


def decision_row(fact: OwnFact, decided: ReportDecided) -> tuple[object, ...]:
    return (decided.report_id, decided.finding, fact.occurred_at, decided.moderator_id)


READ_MODEL = ReadModel(
    tables=HERE / "read_model.sql",
    statements=queries(HERE / "projections.sql"),
    writes={
        ClientReported: [Write("add_report", report_row)],
        ReportDecided: [Write("decide_report", decision_row)],
        ContactSeen: [Write("add_contact", lambda _, seen: (seen.client_id, seen.therapist_id))],
    },
    # A standing is answered from the client's stream, where it is decided.
    ignores=[
        ClientWarned,
        ClientBraked,
        ClientSuspended,
        SuspensionConfirmed,
        ClientBanned,
        ClientReinstated,
        SuspensionLapsed,
        BrakeLapsed,
        ReportWeighed,
        BookingLost,
        BadFaithFound,
        BadFaithWithdrawn,
        GateCopied,
    ],
)
