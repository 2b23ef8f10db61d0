"""The waits of one conversation, kept as facts in the stream `conversation-<conversation_id>`.

What is stated are the differences of the pure function in waits.py, decided on the streams of both people as they are
at the commit. A message later than everything known costs the same however long the conversation is, unless its
therapist reported its client.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import assert_never

from holdspace.messaging.v1.events_pb2 import SIDE_CLIENT, SIDE_THERAPIST
from holdspace.response_sla.v1 import private_pb2 as facts
from kernel.decision import Decision
from kernel.facts import instant, timestamp
from services.response_sla.domain.client_inputs import Person
from services.response_sla.domain.growing import Growing
from services.response_sla.domain.inputs import FiledReport, SentMessage, Source
from services.response_sla.domain.noted import Noted
from services.response_sla.domain.policy import Policy
from services.response_sla.domain.reports import NOTHING_REPORTED
from services.response_sla.domain.timeline import Inputs
from services.response_sla.domain.wait import Parties, Wait, WaitFact, differences, from_message
from services.response_sla.domain.waits import resume, step, waits


@dataclass(frozen=True, slots=True)
class NoteMessages:
    """Messages of one conversation, in any order, known ones among them."""

    parties: Parties
    messages: Sequence[SentMessage]
    policy: Policy
    now: datetime


@dataclass(frozen=True, slots=True)
class EvaluateConversation:
    """From the start: after the stream of one of its people changed, or the policy."""

    parties: Parties
    policy: Policy
    now: datetime


Command = NoteMessages | EvaluateConversation
Stated = WaitFact | facts.WaitWithdrawn | facts.ConversationEvaluated
Fact = facts.MessageNoted | facts.PartiesTurned | Stated


@dataclass(frozen=True, slots=True)
class Conversation:
    """`settled` and then `last` are the waits as stated, in the order they opened. `client_facts`, `therapist_facts`:
    how many facts of the two people's streams they take account of.
    """

    parties: Parties = field(default_factory=Parties)
    messages: Growing[SentMessage] = field(default_factory=Growing)
    noted: Noted = field(default_factory=Noted)
    settled: Growing[Wait] = field(default_factory=Growing)
    last: Wait | None = None
    client_facts: int = 0
    therapist_facts: int = 0
    turn: tuple[int, int] = (0, 0)

    def is_turned(self, parties: Parties) -> bool:
        """Says whether the two have the other roles here."""
        return bool(self.parties.client_id) and self.parties.client_id != parties.client_id

    @property
    def waits(self) -> tuple[Wait, ...]:
        return tuple(self.settled) if self.last is None else (*self.settled, self.last)


@dataclass(frozen=True, slots=True)
class People:
    client: Person
    therapist: Person

    def are_accounted_for(self, conversation: Conversation) -> bool:
        facts_of_both = (len(self.client.inputs), len(self.therapist.inputs))
        return facts_of_both == (conversation.client_facts, conversation.therapist_facts)

    def have_said_nothing_since(self, at: datetime) -> bool:
        return all(person.latest is None or person.latest < at for person in (self.client, self.therapist))

    def has_report_by(self, therapist_id: str) -> bool:
        return any(isinstance(told, FiledReport) and told.reporter_id == therapist_id for told in self.client.inputs)


def conversation_stream(conversation_id: str) -> str:
    return f"conversation-{conversation_id}"


def decide(command: Command, conversation: Conversation, *, client: Person, therapist: Person) -> Decision:
    people = People(client, therapist)
    if conversation.is_turned(command.parties):
        command, people = _turned(command), People(therapist, client)
    match command:
        case NoteMessages():
            return _note(command, conversation, people)
        case EvaluateConversation():
            stated = _evaluate(conversation.parties, conversation.messages, conversation, people, command.policy)
            return Decision([*stated, *_evaluated(conversation.parties, conversation, people)] if stated else ())
        case _:
            assert_never(command)


def _turned(command: NoteMessages | EvaluateConversation) -> NoteMessages | EvaluateConversation:
    """Returns the same, told the way round that the conversation has its people."""
    told = command.parties
    parties = Parties(told.conversation_id, told.therapist_id, told.client_id)
    if isinstance(command, EvaluateConversation):
        return replace(command, parties=parties)
    return replace(command, parties=parties, messages=[message.turned() for message in command.messages])


def _note(command: NoteMessages, conversation: Conversation, people: People) -> Decision:
    unknown = {(item.source, item.sequence): item for item in command.messages if not conversation.noted.has(item)}
    messages = sorted(unknown.values(), key=lambda message: (message.source, message.sequence))
    if not messages:
        return Decision()
    noted = [_message_noted(command.parties, message) for message in messages]
    if (ahead := _ahead(messages, command.parties.therapist_id, conversation, people)) is not None:
        return Decision([*noted, *_go_on(ahead, command, conversation, people)])
    everything = [*conversation.messages, *messages]
    stated = _evaluate(command.parties, everything, conversation, people, command.policy)
    return Decision([*noted, *stated, *_evaluated(command.parties, conversation, people)])


def _ahead(
    messages: Sequence[SentMessage], therapist_id: str, conversation: Conversation, people: People
) -> list[SentMessage] | None:
    """Returns the messages with the times they count at; None unless the waits as stated are those before them."""
    if not people.are_accounted_for(conversation) or people.has_report_by(therapist_id):
        return None
    found, noted = [], conversation.noted
    for message in messages:
        at = noted.counts_at(message)
        if not noted.is_behind(message) or not people.have_said_nothing_since(at):
            return None
        found.append(message if at == message.at else replace(message, at=at))
        noted = noted.add(message)
    return found


def _go_on(
    messages: Iterable[SentMessage], command: NoteMessages, conversation: Conversation, people: People
) -> list[WaitFact]:
    parties, before = command.parties, conversation.last
    state = resume(before, people.client.inputs, people.therapist.inputs)
    touched: dict[int, Wait] = {}
    for message in messages:
        state = step(state, message, parties.therapist_id, NOTHING_REPORTED)
        if state.last is not None:
            touched[state.last.opening_sequence] = state.last
    stated = {before.opening_sequence: before} if before is not None else {}
    return [fact for sequence, wait in touched.items() for fact in differences(parties, stated.get(sequence), wait)]


def _evaluate(
    parties: Parties, messages: Iterable[SentMessage], conversation: Conversation, people: People, policy: Policy
) -> list[Stated]:
    stated = {wait.opening_sequence: wait for wait in conversation.waits}
    inputs = Inputs(tuple(messages), people.client.inputs, people.therapist.inputs)
    found = {wait.opening_sequence: wait for wait in waits(parties, inputs, policy)}
    return [
        *(_withdrawn(parties, sequence) for sequence in stated if sequence not in found),
        *(fact for sequence, wait in found.items() for fact in differences(parties, stated.get(sequence), wait)),
    ]


def _evaluated(parties: Parties, conversation: Conversation, people: People) -> list[Stated]:
    """Returns the mark that lets the next message go on from here; it is only ever stated along with other facts."""
    if people.are_accounted_for(conversation):
        return []
    return [
        facts.ConversationEvaluated(
            conversation_id=parties.conversation_id,
            client_id=parties.client_id,
            therapist_id=parties.therapist_id,
            client_facts=len(people.client.inputs),
            therapist_facts=len(people.therapist.inputs),
        )
    ]


def evolve(conversation: Conversation, fact: Fact, at: datetime) -> Conversation:
    match fact:
        case facts.MessageNoted():
            return _with_message(conversation, fact)
        case facts.PartiesTurned():
            return _with_turn(conversation, fact)
        case facts.ConversationEvaluated():
            return replace(conversation, client_facts=fact.client_facts, therapist_facts=fact.therapist_facts)
        case facts.WaitWithdrawn():
            kept = [wait for wait in conversation.waits if wait.opening_sequence != fact.opening_sequence]
            return _with_waits(conversation, kept)
        case (
            facts.WaitOpened() | facts.WaitAnswered() | facts.WaitVoided() | facts.WaitExcluded() | facts.WaitRestated()
        ):
            return _with_wait(conversation, from_message(fact.wait))
        case _:
            assert_never(fact)


def _with_message(conversation: Conversation, fact: facts.MessageNoted) -> Conversation:
    message = SentMessage(
        at=instant(fact.sent_at),
        sequence=fact.sequence,
        fact_id=fact.source_fact_id,
        from_client=fact.sender == SIDE_CLIENT,
        expects_reply=fact.expects_reply,
        automatic=fact.automatic,
        imported=fact.imported,
        source=Source(fact.source, fact.source_epoch),
    )
    # Most facts are messages and their waits: `replace` would take three times as long.
    return Conversation(
        parties=Parties(fact.conversation_id, fact.client_id, fact.therapist_id),
        messages=conversation.messages.add(message),
        noted=conversation.noted.add(message),
        settled=conversation.settled,
        last=conversation.last,
        client_facts=conversation.client_facts,
        therapist_facts=conversation.therapist_facts,
        turn=conversation.turn,
    )


def _with_turn(conversation: Conversation, fact: facts.PartiesTurned) -> Conversation:
    parties = Parties(fact.conversation_id, fact.client_id, fact.therapist_id)
    turn = (fact.source_epoch, fact.turn)
    if not conversation.is_turned(parties):
        return replace(conversation, parties=parties, turn=turn)
    return replace(
        conversation,
        parties=parties,
        messages=Growing(message.turned() for message in conversation.messages),
        client_facts=conversation.therapist_facts,
        therapist_facts=conversation.client_facts,
        turn=turn,
    )


def _with_wait(conversation: Conversation, wait: Wait) -> Conversation:
    last = conversation.last
    if last is None or last.opening_sequence == wait.opening_sequence:
        return _stated(conversation, conversation.settled, wait)
    if last.place < wait.place:
        return _stated(conversation, conversation.settled.add(last), wait)
    corrected = {known.opening_sequence: known for known in conversation.waits} | {wait.opening_sequence: wait}
    return _with_waits(conversation, corrected.values())


def _stated(conversation: Conversation, settled: Growing[Wait], last: Wait) -> Conversation:
    return Conversation(
        parties=conversation.parties,
        messages=conversation.messages,
        noted=conversation.noted,
        settled=settled,
        last=last,
        client_facts=conversation.client_facts,
        therapist_facts=conversation.therapist_facts,
        turn=conversation.turn,
    )


def _with_waits(conversation: Conversation, found: Iterable[Wait]) -> Conversation:
    in_order = sorted(found, key=lambda wait: wait.place)
    return replace(conversation, settled=Growing(in_order[:-1]), last=in_order[-1] if in_order else None)


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
