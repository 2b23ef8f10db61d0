"""The waits of one conversation, kept as facts in the stream `conversation-<conversation_id>`.

What is stated are the differences of the pure function in waits.py, decided on the client's stream as it is at the
commit. A message later than everything known costs the same however long the conversation is.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import assert_never

from holdspace.messaging.v1.events_pb2 import SIDE_CLIENT, SIDE_THERAPIST
from holdspace.response_sla.v1 import private_pb2 as facts
from kernel.decision import Decision
from kernel.facts import instant, timestamp
from services.response_sla.domain.client_inputs import Client
from services.response_sla.domain.growing import Growing
from services.response_sla.domain.inputs import Order, SentMessage, order
from services.response_sla.domain.policy import Policy
from services.response_sla.domain.reports import Contact, judge
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
    """From the start: after the client's stream changed, or the policy."""

    conversation_id: str
    client_id: str
    policy: Policy
    now: datetime


Command = NoteMessages | EvaluateConversation
Stated = WaitFact | facts.WaitWithdrawn | facts.ConversationEvaluated
Fact = facts.MessageNoted | Stated


@dataclass(frozen=True, slots=True)
class Conversation:
    """`noted_to`: every message up to this sequence is noted, of the later ones those in `noted_ahead`. `latest`: where
    the latest message stands. `settled` and then `last` are the waits as stated, in the order they opened.
    `client_facts`: how many facts of the client's stream they take account of.
    """

    parties: Parties = field(default_factory=Parties)
    messages: Growing[SentMessage] = field(default_factory=Growing)
    noted_to: int = 0
    noted_ahead: frozenset[int] = frozenset()
    latest: Order | None = None
    contact: Contact = field(default_factory=Contact)
    settled: Growing[Wait] = field(default_factory=Growing)
    last: Wait | None = None
    client_facts: int = 0

    @property
    def waits(self) -> tuple[Wait, ...]:
        return tuple(self.settled) if self.last is None else (*self.settled, self.last)

    def has(self, sequence: int) -> bool:
        return sequence <= self.noted_to or sequence in self.noted_ahead


def conversation_stream(conversation_id: str) -> str:
    return f"conversation-{conversation_id}"


def decide(command: Command, conversation: Conversation, *, client: Client) -> Decision:
    match command:
        case NoteMessages():
            return _note(command, conversation, client)
        case EvaluateConversation():
            stated = _evaluate(conversation.parties, conversation.messages, conversation, client, command.policy)
            return Decision([*stated, *_evaluated(conversation.parties, conversation, client)] if stated else ())
        case _:
            assert_never(command)


def _note(command: NoteMessages, conversation: Conversation, client: Client) -> Decision:
    unknown = {message.sequence: message for message in command.messages if not conversation.has(message.sequence)}
    messages = sorted(unknown.values(), key=order)
    if not messages:
        return Decision()
    noted = [_message_noted(command.parties, message) for message in messages]
    if _is_ahead(messages[0], conversation, client):
        return Decision([*noted, *_go_on(messages, command, conversation, client)])
    everything = [*conversation.messages, *messages]
    stated = _evaluate(command.parties, everything, conversation, client, command.policy)
    return Decision([*noted, *stated, *_evaluated(command.parties, conversation, client)])


def _is_ahead(message: SentMessage, conversation: Conversation, client: Client) -> bool:
    """Returns whether the waits as stated are those just before the message."""
    if conversation.client_facts != len(client.inputs):
        return False
    known = [conversation.latest] if conversation.latest is not None else []
    return all(at < order(message) for at in (*known, *(order(item) for item in client.inputs[-1:])))


def _go_on(
    messages: Iterable[SentMessage], command: NoteMessages, conversation: Conversation, client: Client
) -> list[WaitFact]:
    parties, before = command.parties, conversation.last
    judged = judge(parties.therapist_id, conversation.contact, client.inputs, command.policy)
    state = resume(before, client.inputs, judged)
    touched: dict[int, Wait] = {}
    for message in messages:
        state = step(state, message, parties.therapist_id, judged)
        if state.last is not None:
            touched[state.last.opening_sequence] = state.last
    stated = {before.opening_sequence: before} if before is not None else {}
    return [
        fact
        for sequence, wait in touched.items()
        for fact in differences(parties, stated.get(sequence), judged.excluding(wait))
    ]


def _evaluate(
    parties: Parties, messages: Iterable[SentMessage], conversation: Conversation, client: Client, policy: Policy
) -> list[Stated]:
    stated = {wait.opening_sequence: wait for wait in conversation.waits}
    found = {wait.opening_sequence: wait for wait in waits(parties.therapist_id, messages, client.inputs, policy)}
    return [
        *(_withdrawn(parties, sequence) for sequence in stated if sequence not in found),
        *(fact for sequence, wait in found.items() for fact in differences(parties, stated.get(sequence), wait)),
    ]


def _evaluated(parties: Parties, conversation: Conversation, client: Client) -> list[Stated]:
    """Returns the mark that lets the next message go on from here; it is only ever stated along with other facts."""
    if conversation.client_facts == len(client.inputs):
        return []
    return [
        facts.ConversationEvaluated(
            conversation_id=parties.conversation_id,
            client_id=parties.client_id,
            therapist_id=parties.therapist_id,
            client_facts=len(client.inputs),
        )
    ]


def evolve(conversation: Conversation, fact: Fact, at: datetime) -> Conversation:
    match fact:
        case facts.MessageNoted():
            return _with_message(conversation, fact)
        case facts.ConversationEvaluated():
            return replace(conversation, client_facts=fact.client_facts)
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
        instant(fact.sent_at),
        fact.sequence,
        fact.source_fact_id,
        fact.sender == SIDE_CLIENT,
        fact.expects_reply,
        fact.automatic,
    )
    noted_to, ahead = conversation.noted_to, conversation.noted_ahead | {fact.sequence}
    while noted_to + 1 in ahead:
        noted_to += 1
        ahead -= {noted_to}
    at = order(message)
    # Most facts are messages and their waits: `replace` would take three times as long.
    return Conversation(
        parties=Parties(fact.conversation_id, fact.client_id, fact.therapist_id),
        messages=conversation.messages.add(message),
        noted_to=noted_to,
        noted_ahead=ahead,
        latest=at if conversation.latest is None else max(conversation.latest, at),
        contact=conversation.contact.with_message(message),
        settled=conversation.settled,
        last=conversation.last,
        client_facts=conversation.client_facts,
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
        noted_to=conversation.noted_to,
        noted_ahead=conversation.noted_ahead,
        latest=conversation.latest,
        contact=conversation.contact,
        settled=settled,
        last=last,
        client_facts=conversation.client_facts,
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
        source_fact_id=message.fact_id,
    )


def _withdrawn(parties: Parties, opening_sequence: int) -> facts.WaitWithdrawn:
    return facts.WaitWithdrawn(
        conversation_id=parties.conversation_id,
        client_id=parties.client_id,
        therapist_id=parties.therapist_id,
        opening_sequence=opening_sequence,
    )
