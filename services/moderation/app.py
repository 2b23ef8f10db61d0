"""Every command of moderation and the stream it runs on."""

from collections.abc import Callable
from typing import Any

from kernel.folded import Fold
from kernel.gates import COPY_GATE, gate_of
from kernel.routes import Read, Route
from services.moderation.domain import client_standing, decisions, reporter, reporting
from services.moderation.domain.client_standing import ClientStanding, Fact
from services.moderation.domain.decisions import (
    BanClient,
    BrakeClient,
    ConfirmSuspension,
    DecideReport,
    ReinstateClient,
    SuspendClient,
    WarnClient,
)
from services.moderation.domain.reporter import AskToSuspend, NoteFinding, Reporter, ask_to_suspend, note_finding
from services.moderation.domain.reporting import NoteContact, ReportClient, TakeStock
from services.moderation.domain.restoration import NoteBookingLost, note_booking_lost
from services.moderation.domain.timers import RecordEnds, after_ends, record_ends

CLIENT_STANDING = Fold(ClientStanding(), client_standing.evolve)
REPORTER = Fold(Reporter(), reporter.evolve)


def client_stream(client_id: str) -> str:
    return f"client-{client_id}"


def client_of(stream: str) -> str:
    return stream.removeprefix("client-")


def reporter_stream(reporter_id: str) -> str:
    return f"reporter-{reporter_id}"


def on_client(command: type[Any], rule: Callable[..., list[Fact]], *, urgent: bool = True, **reads: Read) -> Route:
    return Route(
        command,
        lambda command: client_stream(command.client_id),
        CLIENT_STANDING,
        after_ends(rule),
        reads=reads,
        urgent=urgent,
    )


ROUTES = [
    on_client(
        ReportClient,
        reporting.report,
        enrolment=gate_of("enrolment", "reporter_id"),
        as_client=Read(lambda command: client_stream(command.reporter_id), CLIENT_STANDING),
        reporter=Read(lambda command: reporter_stream(command.reporter_id), REPORTER),
    ),
    on_client(NoteContact, reporting.note_contact, urgent=False),
    on_client(TakeStock, reporting.take_stock),
    on_client(DecideReport, decisions.decide_report),
    on_client(WarnClient, decisions.warn),
    on_client(BrakeClient, decisions.brake),
    on_client(SuspendClient, decisions.suspend),
    on_client(ConfirmSuspension, decisions.confirm),
    on_client(ReinstateClient, decisions.reinstate),
    on_client(BanClient, decisions.ban),
    on_client(NoteBookingLost, note_booking_lost, urgent=False),
    on_client(RecordEnds, record_ends, urgent=False),
    Route(NoteFinding, lambda command: reporter_stream(command.reporter_id), REPORTER, note_finding),
    Route(AskToSuspend, lambda command: reporter_stream(command.reporter_id), REPORTER, ask_to_suspend, urgent=True),
    COPY_GATE,
]
