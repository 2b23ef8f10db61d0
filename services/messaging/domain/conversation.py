"""A conversation: one per pair of people, free messages, a sequence without gaps."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache
from typing import TypedDict, assert_never

from holdspace.messaging.v1.events_pb2 import (
    EXPECTATION_REPLY,
    MESSAGE_KIND_TEXT,
    SIDE_CLIENT,
    SIDE_THERAPIST,
    ConversationOpened,
    Expectation,
    ImportedLine,
    MessageKind,
    MessageSent,
    MessagesRestored,
    MessagesWithheld,
    TherapistImported,
)
from kernel.decision import Decision
from kernel.errors import Rejected
from kernel.gates import Gate
from kernel.store.interface import Attachment

Fact = ConversationOpened | TherapistImported | MessageSent | MessagesWithheld | MessagesRestored


@dataclass(frozen=True, slots=True)
class SendMessage:
    sender_id: str
    client_id: str
    therapist_id: str
    message_id: str
    body: bytes
    expects: Expectation.ValueType
    kind: MessageKind.ValueType
    automatic: bool
    now: datetime

    @property
    def conversation_id(self) -> str:
        return conversation_id(self.client_id, self.therapist_id)


@dataclass(frozen=True, slots=True)
class ImportMessage:
    source: str
    line: int
    sender_id: str
    recipient_id: str
    message_id: str
    today: datetime  # when it is imported
    now: datetime  # when it was sent, in the system it comes from

    @property
    def conversation_id(self) -> str:
        return conversation_id(self.sender_id, self.recipient_id)


@dataclass(frozen=True, slots=True)
class WithholdMessages:
    """`sequences`: what the client sent since the instant the suspension was decided."""

    conversation_id: str
    sequences: tuple[int, ...]
    now: datetime


@dataclass(frozen=True, slots=True)
class RestoreMessages:
    conversation_id: str
    now: datetime


Command = SendMessage | ImportMessage | WithholdMessages | RestoreMessages


@dataclass(frozen=True, slots=True)
class Conversation:
    """Nobody has written while `client_id` is empty."""

    conversation_id: str = ""
    client_id: str = ""
    therapist_id: str = ""
    last_sequence: int = 0
    last_message_id: str = ""
    last_at: datetime | None = None
    highest_lines: Mapping[str, int] = field(default_factory=dict)  # by source of import
    withheld: frozenset[int] = frozenset()


@lru_cache(maxsize=10_000)  # A command asks for it more than once, and conversations go on.
def conversation_id(one: str, other: str) -> str:
    """Returns the id of the one conversation of an unordered pair: 32 hexadecimal digits of a digest over both."""
    first, second = sorted((one, other))
    return hashlib.sha256(f"{first}\n{second}".encode()).hexdigest()[:32]


def send(
    command: SendMessage, conversation: Conversation, *, client: Gate, therapist: Gate, enrolment: Gate
) -> Decision:
    """`client` and `therapist`: the standing of the two; `enrolment`: of the therapist."""
    if command.client_id == command.therapist_id:
        raise Rejected("PAIR_OF_ONE", "therapist_id")
    if command.sender_id not in (command.client_id, command.therapist_id):
        raise Rejected("SENDER_NOT_IN_PAIR", "sender_id")
    if conversation.client_id == command.therapist_id:
        raise Rejected("ROLES_SWAPPED", "client_id")
    from_client = command.sender_id == command.client_id
    sender, other = (client, therapist) if from_client else (therapist, client)
    if sender.closed_at(command.now):
        raise Rejected("SENDER_SUSPENDED", "sender_id")
    if other.closed_at(command.now):
        raise Rejected("CONVERSATION_LOCKED", "therapist_id" if from_client else "client_id")
    opening = not conversation.client_id
    if opening:
        may_open(command, from_client, client, enrolment)
    sent = MessageSent()  # Filled in place: a constructor takes twice as long, and copies the messages it is given.
    sent.conversation_id = conversation.conversation_id or command.conversation_id
    sent.client_id, sent.therapist_id = command.client_id, command.therapist_id
    sent.sequence = conversation.last_sequence + 1
    sent.message_id = command.message_id
    sent.sender = SIDE_CLIENT if from_client else SIDE_THERAPIST
    sent.expects, sent.kind, sent.automatic = command.expects, command.kind, command.automatic
    body = sent.body
    body.attachment_id, body.size = command.message_id, len(command.body)
    body.sha256 = hashlib.sha256(command.body).digest()
    facts = [ConversationOpened(**pair(command)), sent] if opening else [sent]
    return Decision(facts, attachments=[Attachment(command.message_id, command.body)])


def may_open(command: SendMessage, from_client: bool, client: Gate, enrolment: Gate) -> None:
    if not from_client:
        raise Rejected("CONVERSATION_NOT_OPEN", "client_id")
    enrolment.must_be_fresh()
    if enrolment.at(command.now) != "ENROLLED":
        raise Rejected("THERAPIST_UNKNOWN", "therapist_id")
    if client.at(command.now) == "BRAKED":
        raise Rejected("CLIENT_BRAKED", "client_id")


def import_message(command: ImportMessage, conversation: Conversation) -> Decision:
    """Today's standing does not gate history, and a line the conversation has already is no error."""
    if command.line <= conversation.highest_lines.get(command.source, 0):
        return Decision()
    if command.sender_id == command.recipient_id:
        raise Rejected("PAIR_OF_ONE", "recipient_id")
    if command.now > command.today:
        raise Rejected("LINE_IN_FUTURE", "sent_at")
    if conversation.last_at is not None and command.now < conversation.last_at:
        raise Rejected("LINE_OUT_OF_ORDER", "sent_at")
    opening = not conversation.client_id
    client_id = command.sender_id if opening else conversation.client_id
    therapist_id = command.recipient_id if opening else conversation.therapist_id
    names = Pair(conversation_id=command.conversation_id, client_id=client_id, therapist_id=therapist_id)
    sent = MessageSent(
        **names,
        sequence=conversation.last_sequence + 1,
        message_id=command.message_id,
        sender=SIDE_CLIENT if command.sender_id == client_id else SIDE_THERAPIST,
        expects=EXPECTATION_REPLY,
        kind=MESSAGE_KIND_TEXT,
        imported=ImportedLine(source=command.source, line=command.line),
    )
    if not opening:
        return Decision([sent])
    return Decision([ConversationOpened(**names), TherapistImported(**names, source=command.source), sent])


def withhold(command: WithholdMessages, conversation: Conversation) -> Decision:
    sequences = sorted(set(command.sequences) - conversation.withheld)
    return Decision([MessagesWithheld(**pair(conversation), sequences=sequences)] if sequences else [])


def restore(_: RestoreMessages, conversation: Conversation) -> Decision:
    sequences = sorted(conversation.withheld)
    return Decision([MessagesRestored(**pair(conversation), sequences=sequences)] if sequences else [])


class Pair(TypedDict):
    conversation_id: str
    client_id: str
    therapist_id: str


def pair(of: SendMessage | Conversation) -> Pair:
    return Pair(conversation_id=of.conversation_id, client_id=of.client_id, therapist_id=of.therapist_id)


def evolve(conversation: Conversation, fact: Fact, at: datetime) -> Conversation:
    match fact:
        case MessageSent():
            lines = conversation.highest_lines
            if fact.HasField("imported"):
                lines = {**lines, fact.imported.source: fact.imported.line}
            # Most facts are messages: they come first, and `replace` would take three times as long.
            return Conversation(
                conversation_id=conversation.conversation_id,
                client_id=conversation.client_id,
                therapist_id=conversation.therapist_id,
                last_sequence=fact.sequence,
                last_message_id=fact.message_id,
                last_at=at,
                highest_lines=lines,
                withheld=conversation.withheld,
            )
        case ConversationOpened():
            return replace(
                conversation,
                conversation_id=fact.conversation_id,
                client_id=fact.client_id,
                therapist_id=fact.therapist_id,
            )
        case TherapistImported():
            return conversation  # A mark for scheduling, which enrols by it.
        case MessagesWithheld():
            return replace(conversation, withheld=conversation.withheld | set(fact.sequences))
        case MessagesRestored():
            return replace(conversation, withheld=conversation.withheld - set(fact.sequences))
        case _:
            assert_never(fact)
