"""The waits of one conversation, kept as facts in the stream `conversation-<conversation_id>`.

What is stated are the differences of the pure function in waits.py, decided on the streams of both people as they are
at the commit. A message later than everything known costs the same however long the conversation is, unless its
therapist reported its client.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import assert_never

from holdspace.messaging.v1.events_pb2 import SIDE_CLIENT, SIDE_THERAPIST
from holdspace.response_sla.v1 import private_pb2 as facts
from kernel.decision import Decision
from kernel.errors import Rejected
from kernel.facts import timestamp
from services.response_sla.domain.client_inputs import Person
from services.response_sla.domain.conversation import Conversation, Stated, with_declaration
from services.response_sla.domain.inputs import FiledReport, SentMessage
from services.response_sla.domain.policy import Policies
from services.response_sla.domain.reports import NOTHING_REPORTED
from services.response_sla.domain.wait import Parties, Wait, WaitFact, WaitState, differences
from services.response_sla.domain.waits import resume, step, waits


@dataclass(frozen=True, slots=True)
class NoteMessages:
    """Messages of one conversation, in any order, known ones among them."""

    parties: Parties
    messages: Sequence[SentMessage]
    now: datetime


@dataclass(frozen=True, slots=True)
class EvaluateConversation:
    """From the start: after the stream of one of its people changed."""

    parties: Parties
    now: datetime


@dataclass(frozen=True, slots=True)
class DeclareNoReplyOwed:
    """`last_sequence`: the last message the therapist knows of; 0: all sent by now."""

    conversation_id: str
    client_id: str
    therapist_id: str
    opening_sequence: int
    last_sequence: int
    now: datetime

    @property
    def parties(self) -> Parties:
        return Parties(self.conversation_id, self.client_id, self.therapist_id)


Command = NoteMessages | EvaluateConversation | DeclareNoReplyOwed


@dataclass(frozen=True, slots=True)
class Known:
    """What a decision reads beside its conversation."""

    client: Person
    therapist: Person
    policies: Policies

    def are_accounted_for(self, conversation: Conversation) -> bool:
        facts_of_both = (self.client.facts, self.therapist.facts)
        return facts_of_both == (conversation.client_facts, conversation.therapist_facts)

    def have_said_nothing_since(self, at: datetime) -> bool:
        return all(person.latest is None or person.latest < at for person in (self.client, self.therapist))

    def has_report_by(self, therapist_id: str) -> bool:
        return any(isinstance(told, FiledReport) and told.reporter_id == therapist_id for told in self.client.inputs)


def decide(
    command: Command, conversation: Conversation, *, client: Person, therapist: Person, policies: Policies
) -> Decision:
    known = Known(client, therapist, policies)
    if not isinstance(command, DeclareNoReplyOwed) and conversation.is_turned(command.parties):
        command, known = _turned(command), Known(therapist, client, policies)
    match command:
        case NoteMessages():
            return _note(command, conversation, known)
        case EvaluateConversation():
            stated = _evaluate(conversation.parties, conversation, known)
            return Decision([*stated, *_evaluated(conversation.parties, conversation, known)] if stated else ())
        case DeclareNoReplyOwed():
            return _declare(command, conversation, known)
        case _:
            assert_never(command)


def _turned(command: NoteMessages | EvaluateConversation) -> NoteMessages | EvaluateConversation:
    """Returns the same, told the way round that the conversation has its people."""
    told = command.parties
    parties = Parties(told.conversation_id, told.therapist_id, told.client_id)
    if isinstance(command, EvaluateConversation):
        return replace(command, parties=parties)
    return replace(command, parties=parties, messages=[message.turned() for message in command.messages])


def _declare(command: DeclareNoReplyOwed, conversation: Conversation, known: Known) -> Decision:
    """Raises Rejected NOT_FOUND, FIELD_MALFORMED or WAIT_NOT_OPEN."""
    if conversation.parties != command.parties:
        raise Rejected("NOT_FOUND", "conversation_id")
    if command.last_sequence and not command.opening_sequence <= command.last_sequence <= conversation.noted.highest:
        raise Rejected("FIELD_MALFORMED", "last_message_sequence")
    wait = next((wait for wait in conversation.waits if wait.opening_sequence == command.opening_sequence), None)
    if wait is None:
        raise Rejected("NOT_FOUND", "opening_sequence")
    if wait.state is WaitState.NOT_OWED:
        return Decision()  # Said before.
    if wait.state is not WaitState.OPEN:
        raise Rejected("WAIT_NOT_OPEN", "opening_sequence")
    said = facts.ReplyNotOwed(
        conversation_id=command.conversation_id,
        client_id=command.client_id,
        therapist_id=command.therapist_id,
        last_message_sequence=command.last_sequence,
        declared_at=timestamp(command.now),
    )
    stated = _evaluate(command.parties, with_declaration(conversation, said), known)
    return Decision([said, *stated, *_evaluated(command.parties, conversation, known)])


def _note(command: NoteMessages, conversation: Conversation, known: Known) -> Decision:
    unknown = {(item.source, item.sequence): item for item in command.messages if not conversation.noted.has(item)}
    messages = sorted(unknown.values(), key=lambda message: (message.source, message.sequence))
    if not messages:
        return Decision()
    noted = [_message_noted(command.parties, message) for message in messages]
    if (ahead := _ahead(messages, command.parties.therapist_id, conversation, known)) is not None:
        return Decision([*noted, *_go_on(ahead, command, conversation, known)])
    stated = _evaluate(command.parties, conversation, known, *messages)
    return Decision([*noted, *stated, *_evaluated(command.parties, conversation, known)])


def _ahead(
    messages: Sequence[SentMessage], therapist_id: str, conversation: Conversation, known: Known
) -> list[SentMessage] | None:
    """Returns the messages with the times they count at; None unless the waits as stated are those before them."""
    if not known.are_accounted_for(conversation) or known.has_report_by(therapist_id):
        return None
    found, noted = [], conversation.noted
    for message in messages:
        at = noted.counts_at(message)
        said = conversation.not_owed[-1:]
        if not noted.is_behind(message) or not known.have_said_nothing_since(at) or any(at <= each.at for each in said):
            return None
        found.append(message if at == message.at else replace(message, at=at))
        noted = noted.add(message)
    return found


def _go_on(
    messages: Iterable[SentMessage], command: NoteMessages, conversation: Conversation, known: Known
) -> list[WaitFact]:
    parties, before = command.parties, conversation.last
    state = resume(known.policies, before, known.client.inputs, known.therapist.inputs)
    touched: dict[int, Wait] = {}
    for message in messages:
        state = step(state, message, parties.therapist_id, NOTHING_REPORTED)
        if state.last is not None:
            touched[state.last.opening_sequence] = state.last
    stated = {before.opening_sequence: before} if before is not None else {}
    return [fact for sequence, wait in touched.items() for fact in differences(parties, stated.get(sequence), wait)]


def _evaluate(parties: Parties, conversation: Conversation, known: Known, *messages: SentMessage) -> list[Stated]:
    stated = {wait.opening_sequence: wait for wait in conversation.waits}
    inputs = conversation.inputs(known.client, known.therapist, *messages)
    found = {wait.opening_sequence: wait for wait in waits(parties, inputs, known.policies)}
    return [
        *(_withdrawn(parties, sequence) for sequence in stated if sequence not in found),
        *(fact for sequence, wait in found.items() for fact in differences(parties, stated.get(sequence), wait)),
    ]


def _evaluated(parties: Parties, conversation: Conversation, known: Known) -> list[Stated]:
    """Returns the mark that lets the next message go on from here; it is only ever stated along with other facts."""
    if known.are_accounted_for(conversation):
        return []
    return [
        facts.ConversationEvaluated(
            conversation_id=parties.conversation_id,
            client_id=parties.client_id,
            therapist_id=parties.therapist_id,
            client_facts=known.client.facts,
            therapist_facts=known.therapist.facts,
        )
    ]


def _message_noted(parties: Parties, message: SentMessage) -> facts.MessageNoted:
    return facts.MessageNoted(
        conversation_id=parties.conversation_id,
        client_id=parties.client_id,
        therapist_id=parties.therapist_id,
        sequence=message.sequence,
        sender=SIDE_CLIENT if message.from_client else SIDE_THERAPIST,
        expects_reply=message.expects_reply,
        automatic=message.automatic,
        sent_at=timestamp(message.at),
        imported=message.imported,
        source_fact_id=message.fact_id,
        source=message.source.name,
        source_epoch=message.source.epoch,
    )


def _withdrawn(parties: Parties, opening_sequence: int) -> facts.WaitWithdrawn:
    return facts.WaitWithdrawn(
        conversation_id=parties.conversation_id,
        client_id=parties.client_id,
        therapist_id=parties.therapist_id,
        opening_sequence=opening_sequence,
    )
