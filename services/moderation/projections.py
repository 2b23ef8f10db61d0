"""Moderation's facts as rows: the reports and what became of them."""

from operator import attrgetter
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
    SuspensionAllowed,
    SuspensionDue,
)
from kernel.gate_copies import GATE_STATEMENTS, GATE_TABLES, GATE_WRITES
from kernel.projected import Add, Last
from kernel.read_model import ReadModel
from kernel.replay import StoredFact
from kernel.sql import queries

HERE = Path(__file__).parent

REPORT = (
    "report_id",
    "client_id",
    "reporter_id",
    "severity",
    "reported_at",
    "conversation_id",
    "last_message_sequence",
)
CONTACT = ("client_id", "therapist_id")


def report_row(fact: StoredFact, reported: ClientReported) -> tuple[object, ...]:
    return (
        reported.report_id,
        reported.client_id,
        reported.reporter_id,
        reported.severity,
        fact.occurred_at,
        reported.conversation_id,
        reported.last_message_sequence,
    )


def weight_row(_: StoredFact, weighed: ReportWeighed) -> tuple[object, ...]:
    return (weighed.report_id, weighed.needs_person)


def decision_row(fact: StoredFact, decided: ReportDecided) -> tuple[object, ...]:
    return (decided.report_id, decided.finding, fact.occurred_at, decided.moderator_id)


READ_MODEL = ReadModel(
    revision=4,
    tables=[HERE / "read_model.sql", GATE_TABLES],
    indexes=HERE / "read_model_indexes.sql",
    statements={**queries(HERE / "projections.sql"), **GATE_STATEMENTS},
    writes={
        GateCopied: GATE_WRITES,
        ClientReported: [Add("reports", REPORT, report_row)],
        ReportDecided: [Last("decide_reports", attrgetter("report_id"), decision_row)],
        ReportWeighed: [Last("weigh_reports", attrgetter("report_id"), weight_row)],
        ContactSeen: [Add("contacts", CONTACT, lambda _, seen: (seen.client_id, seen.therapist_id))],
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
        SuspensionDue,
        SuspensionAllowed,
        BookingLost,
        BadFaithFound,
        BadFaithWithdrawn,
    ],
)
