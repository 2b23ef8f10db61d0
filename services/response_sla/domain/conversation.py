"""What is known of one conversation: the fold of its stream, `conversation-<conversation_id>`."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import assert_never

from holdspace.messaging.v1.events_pb2 import SIDE_CLIENT
from holdspace.response_sla.v1 import private_pb2 as facts
from kernel.facts import instant
from services.response_sla.domain.client_inputs import Person
from services.response_sla.domain.growing import Growing
from services.response_sla.domain.inputs import NoReplyOwed, SentMessage, Source
from services.response_sla.domain.noted import Noted
from services.response_sla.domain.timeline import Inputs
from services.response_sla.domain.wait import Parties, Wait, WaitFact, from_message

Stated = WaitFact | facts.WaitWithdrawn | facts.ConversationEvaluated
Fact = facts.MessageNoted | facts.PartiesTurned | facts.ReplyNotOwed | Stated


@dataclass(frozen=True, slots=True)
class Conversation:
    """`settled` and then `last` are the waits as stated, in the order they opened. `client_facts`, `therapist_facts`:
    how many facts of the two people's streams they take account of.
    """

    parties: Parties = field(default_factory=Parties)
    messages: Growing[SentMessage] = field(default_factory=Growing)
    noted: Noted = field(default_factory=Noted)
    not_owed: tuple[NoReplyOwed, ...] = ()
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

    def inputs(self, client: Person, therapist: Person, *more: SentMessage) -> Inputs:
        return Inputs((*self.messages, *more), client.inputs, therapist.inputs, self.not_owed)


def conversation_stream(conversation_id: str) -> str:
    return f"conversation-{conversation_id}"


def evolve(conversation: Conversation, fact: Fact, at: datetime) -> Conversation:
    match fact:
        case facts.MessageNoted():
            return _with_message(conversation, fact)
        case facts.PartiesTurned():
            return _with_turn(conversation, fact)
        case facts.ReplyNotOwed():
            return with_declaration(conversation, fact)
        case facts.ConversationEvaluated():
            return replace(conversation, client_facts=fact.client_facts, therapist_facts=fact.therapist_facts)
        case facts.WaitWithdrawn():
            kept = [wait for wait in conversation.waits if wait.opening_sequence != fact.opening_sequence]
            return _with_waits(conversation, kept)
        case (
            facts.WaitOpened()
            | facts.WaitAnswered()
            | facts.WaitVoided()
            | facts.WaitNotOwed()
            | facts.WaitResumed()
            | facts.WaitExcluded()
            | facts.WaitRestated()
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
        not_owed=conversation.not_owed,
        settled=conversation.settled,
        last=conversation.last,
        client_facts=conversation.client_facts,
        therapist_facts=conversation.therapist_facts,
        turn=conversation.turn,
    )


def _with_turn(conversation: Conversation, fact: facts.PartiesTurned) -> Conversation:
    """What the other of the two said is owed no reply was not theirs to say."""
    parties = Parties(fact.conversation_id, fact.client_id, fact.therapist_id)
    turn = (fact.source_epoch, fact.turn)
    if not conversation.is_turned(parties):
        return replace(conversation, parties=parties, turn=turn)
    return replace(
        conversation,
        parties=parties,
        messages=Growing(message.turned() for message in conversation.messages),
        not_owed=(),
        client_facts=conversation.therapist_facts,
        therapist_facts=conversation.client_facts,
        turn=turn,
    )


def with_declaration(conversation: Conversation, fact: facts.ReplyNotOwed) -> Conversation:
    number = len(conversation.not_owed) + 1
    said = NoReplyOwed(instant(fact.declared_at), f"{number:06}", fact.last_message_sequence)
    return replace(conversation, not_owed=(*conversation.not_owed, said))


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
        not_owed=conversation.not_owed,
        settled=settled,
        last=last,
        client_facts=conversation.client_facts,
        therapist_facts=conversation.therapist_facts,
        turn=conversation.turn,
    )


def _with_waits(conversation: Conversation, found: Iterable[Wait]) -> Conversation:
    in_order = sorted(found, key=lambda wait: wait.place)
    return replace(conversation, settled=Growing(in_order[:-1]), last=in_order[-1] if in_order else None)
