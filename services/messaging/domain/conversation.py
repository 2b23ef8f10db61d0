"""A conversation: one per pair of people, free messages, a sequence without gaps."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache
from typing import TypedDict, assert_never

from holdspace.messaging.v1.events_pb2 import (
    ROLES_FROM_GUESS,
    ROLES_FROM_UNSPECIFIED,
    SIDE_CLIENT,
    SIDE_THERAPIST,
    ConversationOpened,
    Expectation,
    MessageKind,
    MessageSent,
    MessagesRestored,
    MessagesWithheld,
    RolesTurned,
    TherapistImported,
)
from kernel.decision import Decision
from kernel.errors import Rejected
from kernel.gates import Gate
from kernel.store.interface import Attachment
from services.messaging.domain.lines import Line, Lines
from services.messaging.domain.measures import StandingDecision, decision_of

Fact = ConversationOpened | TherapistImported | MessageSent | MessagesWithheld | MessagesRestored | RolesTurned


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
class Conversation:
    """Nobody has written while `client_id` is empty. `imported`: by source and part; `is_guessed`: an import took who
    wrote second for the therapist. `first_live_at`: when the first message was sent here. `latest_at`: when the one
    was sent that was sent last, which after an import need not be the one with the last sequence. `is_imported`: it
    began with an import. `turns`: how often its roles were turned.
    """

    conversation_id: str = ""
    client_id: str = ""
    therapist_id: str = ""
    last_sequence: int = 0
    last_message_id: str = ""
    last_at: datetime | None = None
    imported: Mapping[tuple[str, str], Lines] = field(default_factory=dict)
    withheld: Mapping[int, StandingDecision] = field(default_factory=dict)  # by sequence, the last measure that did
    is_guessed: bool = False
    first_live_at: datetime | None = None
    latest_at: datetime | None = None
    is_imported: bool = False
    client_wrote: bool = False
    therapist_wrote: bool = False
    turns: int = 0


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
        may_open(command, from_client, client, therapist, enrolment)
    elif enrolment.at(command.now) in (("WITHDRAWN", "") if conversation.is_guessed else ("WITHDRAWN",)):
        raise Rejected("THERAPIST_UNKNOWN", "therapist_id")
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


def may_open(command: SendMessage, from_client: bool, client: Gate, therapist: Gate, enrolment: Gate) -> None:
    if not from_client:
        raise Rejected("CONVERSATION_NOT_OPEN", "client_id")
    enrolment.must_be_fresh()
    if enrolment.at(command.now) != "ENROLLED":
        raise Rejected("THERAPIST_UNKNOWN", "therapist_id")
    if client.at(command.now) == "BRAKED":
        raise Rejected("CLIENT_BRAKED", "client_id")
    if therapist.at(command.now) == "BRAKED":
        raise Rejected("THERAPIST_BRAKED", "therapist_id")


class Pair(TypedDict):
    conversation_id: str
    client_id: str
    therapist_id: str


def pair(of: SendMessage | Conversation) -> Pair:
    return Pair(conversation_id=of.conversation_id, client_id=of.client_id, therapist_id=of.therapist_id)


def evolve(conversation: Conversation, fact: Fact, at: datetime) -> Conversation:
    match fact:
        case MessageSent():
            return with_message(conversation, fact, at)  # Most facts are messages: they come first.
        case ConversationOpened():
            return replace(
                conversation,
                conversation_id=fact.conversation_id,
                client_id=fact.client_id,
                therapist_id=fact.therapist_id,
                is_guessed=fact.roles_from == ROLES_FROM_GUESS,
                is_imported=fact.roles_from != ROLES_FROM_UNSPECIFIED,
            )
        case TherapistImported():
            return replace(conversation, is_guessed=False)
        case RolesTurned():
            return replace(
                conversation,
                client_id=fact.client_id,
                therapist_id=fact.therapist_id,
                is_guessed=False,
                client_wrote=conversation.therapist_wrote,
                therapist_wrote=conversation.client_wrote,
                turns=fact.turn,
            )
        case MessagesWithheld():
            by_measure = dict.fromkeys(fact.sequences, decision_of(fact.measure))
            return replace(conversation, withheld={**conversation.withheld, **by_measure})
        case MessagesRestored():
            return replace(conversation, withheld=without(conversation.withheld, fact.sequences))
        case _:
            assert_never(fact)


def with_message(conversation: Conversation, fact: MessageSent, at: datetime) -> Conversation:
    imported, first_live_at = conversation.imported, conversation.first_live_at
    if fact.HasField("imported"):
        imported = with_line(imported, fact, at)
    elif first_live_at is None:
        first_live_at = at
    # Most facts are messages, and `replace` would take three times as long.
    return Conversation(
        conversation_id=conversation.conversation_id,
        client_id=conversation.client_id,
        therapist_id=conversation.therapist_id,
        last_sequence=fact.sequence,
        last_message_id=fact.message_id,
        last_at=at,
        imported=imported,
        withheld=conversation.withheld,
        is_guessed=conversation.is_guessed,
        first_live_at=first_live_at,
        latest_at=at if conversation.latest_at is None else max(conversation.latest_at, at),
        is_imported=conversation.is_imported,
        client_wrote=conversation.client_wrote or fact.sender == SIDE_CLIENT,
        therapist_wrote=conversation.therapist_wrote or fact.sender == SIDE_THERAPIST,
        turns=conversation.turns,
    )


def without(withheld: Mapping[int, StandingDecision], sequences: Iterable[int]) -> Mapping[int, StandingDecision]:
    restored = set(sequences)
    return {sequence: measure for sequence, measure in withheld.items() if sequence not in restored}


def with_line(
    imported: Mapping[tuple[str, str], Lines], sent: MessageSent, at: datetime
) -> Mapping[tuple[str, str], Lines]:
    key = (sent.imported.source, sent.imported.part_id)
    line = Line(sent.imported.line, at, writer(sent))
    return {**imported, key: imported.get(key, Lines()).add(line)}


def writer(sent: MessageSent) -> str:
    """Returns who wrote it, whichever roles the two have now."""
    return sent.client_id if sent.sender == SIDE_CLIENT else sent.therapist_id
