"""A small right history and its evidence, made by hand, for tests that corrupt one thing of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from google.protobuf.message import Message

from holdspace.age_verification.v1.events_pb2 import AgeAssured
from holdspace.kernel.v1.envelope_pb2 import Envelope
from holdspace.kernel.v1.gate_pb2 import GateCopied, Phase
from holdspace.kernel.v1.options_pb2 import fact as fact_option
from holdspace.messaging.v1.events_pb2 import (
    EXPECTATION_REPLY,
    SIDE_CLIENT,
    SIDE_THERAPIST,
    MessageSent,
    MessagesWithheld,
)
from holdspace.messaging.v1.service_pb2 import SendMessageRequest, SendMessageResponse
from holdspace.moderation.v1.events_pb2 import ClientReported, ClientSuspended
from holdspace.response_sla.v1.private_pb2 import StandingNoted
from holdspace.response_sla.v1.service_pb2 import ListedWait
from holdspace.scheduling.v1.events_pb2 import BookingCancelled, BookingConfirmed
from holdspace.scheduling.v1.private_pb2 import SlotHeld
from kernel.facts import timestamp
from tests.faults.evidence import Evidence, Published, Stored
from tests.faults.history import Attempt, History, Intention

START = datetime(2026, 3, 2, 9, tzinfo=UTC)
HOUR_LATER = START + timedelta(hours=1)
CONVERSATION = "conversation1"
GOOD = [Phase(state="GOOD")]
SUSPENDED = [Phase(state="SUSPENDED", closed=True)]
ASSURED = [Phase(state="ASSURED")]


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


@dataclass
class Made:
    """Stores and topics that are filled fact by fact, and what callers were told."""

    stores: dict[str, list[Stored]] = field(default_factory=dict)
    topics: dict[str, list[Published]] = field(default_factory=dict)
    history: History = field(default_factory=History)
    restored: dict[str, int] = field(default_factory=dict)
    republished: set[str] = field(default_factory=set)
    epochs: dict[str, int] = field(default_factory=dict)
    waits: dict[str, list[ListedWait]] = field(default_factory=dict)
    now: datetime = HOUR_LATER

    @property
    def evidence(self) -> Evidence:
        return Evidence(self.stores, self.topics, self.waits, self.epochs, self.restored, self.republished, self.now)

    def store(self, service: str, stream: str, payload: Message, seconds: float, cause: str = "") -> Stored:
        """Appends a fact, and puts it on its topic when it has one."""
        rows = self.stores.setdefault(service, [])
        options = payload.DESCRIPTOR.GetOptions().Extensions[fact_option]
        envelope = Envelope(
            id=f"{service}-{len(rows) + 1}",
            type=payload.DESCRIPTOR.full_name,
            occurred_at=timestamp(at(seconds)),
            cause=cause,
            payload=payload.SerializeToString(),
            key=getattr(payload, options.key) if options.topic else "",
        )
        version = sum(row.stream == stream for row in rows) + 1
        row = Stored(len(rows) + 1, stream, version, at(seconds), envelope.SerializeToString())
        rows.append(row)
        if options.topic:
            records = self.topics.setdefault(options.topic, [])
            records.append(Published(options.topic, 0, len(records), f"{service}/c/1", row.position, row.fact))
        return row

    def asked(self, service: str, method: str, request: Message, *attempts: Attempt) -> Intention:
        intention = Intention(service, method, request, list(attempts))
        self.history.intentions.append(intention)
        return intention

    def send(self, sequence: int, seconds: float, *, by_client: bool = True, request_id: str = "") -> Intention:
        """One message, accepted and stored."""
        request_id = request_id or f"r{sequence}"
        answer = SendMessageResponse(
            conversation_id=CONVERSATION, message_id=f"m{sequence}", sequence=sequence, revision="x"
        )
        self.store(
            "messaging", f"conversation-{CONVERSATION}", message(sequence, by_client=by_client), seconds, request_id
        )
        request = SendMessageRequest(request_id=request_id)
        return self.asked("messaging", "SendMessage", request, answered(answer))

    def copy(
        self, service: str, gate: str, subject: str, phases: Sequence[Phase], seconds: float, version: int
    ) -> None:
        copied = GateCopied(
            gate=gate,
            subject=subject,
            source_version=version,
            epoch=1,
            phases=phases,
            decided_at=timestamp(at(seconds - 1)),
        )
        self.store(service, f"gate-{gate}-{subject}", copied, seconds)

    def suspend(self, person: str, seconds: float, *, copied: bool = True) -> None:
        """Decided a second before its copies."""
        suspended = ClientSuspended(client_id=person, standing=SUSPENDED)
        row = self.store("moderation", f"client-{person}", suspended, seconds - 1)
        if copied:
            for service in ("messaging", "scheduling"):
                self.copy(service, "standing", person, SUSPENDED, seconds, row.version)
            self.store("response_sla", f"person-{person}", StandingNoted(source_fact_id=row.envelope.id), seconds)

    def report(self, client: str, reporter: str, seconds: float) -> None:
        reported = ClientReported(client_id=client, reporter_id=reporter, report_id="report1", severity=1)
        self.store("moderation", f"client-{client}", reported, seconds)

    def assure(self, client: str, seconds: float) -> None:
        row = self.store("age_verification", f"client-{client}", AgeAssured(client_id=client, age=ASSURED), seconds)
        self.copy("scheduling", "age", client, ASSURED, seconds, row.version)

    def hold(self, booking: str, client: str, therapist: str, hour: int, seconds: float) -> None:
        parties = {"booking_id": booking, "client_id": client, "therapist_id": therapist}
        slot = {"starts_at": timestamp(at(hour * 3600)), "ends_at": timestamp(at(hour * 3600 + 3000))}
        held = SlotHeld(**parties, **slot, expires_at=timestamp(at(seconds + 600)))
        self.store("scheduling", f"booking-{booking}", held, seconds)

    def confirm(self, booking: str, client: str, therapist: str, seconds: float) -> None:
        confirmed = BookingConfirmed(booking_id=booking, client_id=client, therapist_id=therapist)
        self.store("scheduling", f"booking-{booking}", confirmed, seconds)

    def cancel(self, booking: str, client: str, therapist: str, seconds: float) -> None:
        cancelled = BookingCancelled(booking_id=booking, client_id=client, therapist_id=therapist)
        self.store("scheduling", f"booking-{booking}", cancelled, seconds)

    def withhold(self, sequence: int, seconds: float) -> None:
        withheld = MessagesWithheld(
            conversation_id=CONVERSATION, client_id="client", therapist_id="therapist", sequences=[sequence]
        )
        self.store("messaging", f"conversation-{CONVERSATION}", withheld, seconds)

    def list_wait(self, opening: int, seconds: float, state: int, *, kind: int = 1, **ending: Any) -> None:
        wait = ListedWait(
            conversation_id=CONVERSATION,
            client_id="client",
            opening_sequence=opening,
            kind=kind,  # type: ignore[arg-type]  # every number of the enum
            state=state,  # type: ignore[arg-type]  # as above
            opened_at=timestamp(at(seconds)),
            **ending,
        )
        self.waits.setdefault("therapist", []).append(wait)


def message(sequence: int, *, by_client: bool = True) -> MessageSent:
    return MessageSent(
        conversation_id=CONVERSATION,
        client_id="client",
        therapist_id="therapist",
        sequence=sequence,
        message_id=f"m{sequence}",
        sender=SIDE_CLIENT if by_client else SIDE_THERAPIST,
        expects=EXPECTATION_REPLY,
    )


def answered(answer: Message, began: float = 1, ended: float = 2) -> Attempt:
    return Attempt(began, ended, "OK", "", answer)


def refused(code: str, reason: str = "", began: float = 1, ended: float = 2) -> Attempt:
    return Attempt(began, ended, code, reason)
