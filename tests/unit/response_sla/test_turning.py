"""Roles turned: the waits are those of the right therapist, whatever is heard of first."""

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdspace.response_sla.v1.private_pb2 import VOID_REASON_THERAPIST_SUSPENSION, WaitOpened, WaitWithdrawn
from services.response_sla.domain import client_inputs, conversation, conversation_waits, turning
from services.response_sla.domain.client_inputs import NoteAboutPerson, Person
from services.response_sla.domain.conversation import Conversation
from services.response_sla.domain.conversation_waits import EvaluateConversation, NoteMessages
from services.response_sla.domain.inputs import PersonInput, SentMessage
from services.response_sla.domain.timeline import Inputs
from services.response_sla.domain.turning import TurnParties
from services.response_sla.domain.wait import Answered, Parties, Voided
from services.response_sla.domain.waits import waits
from services.response_sla.reactions import join_notes
from tests.unit.response_sla.histories import NOW, Past, pasts
from tests.unit.response_sla.story import PARTIES, POLICIES, hour, suspended

TURNED = Parties(PARTIES.conversation_id, PARTIES.therapist_id, PARTIES.client_id)
Command = NoteMessages | EvaluateConversation | TurnParties


class Turning:
    """The conversation's deciders on their streams, each reading the streams of the two that its command names."""

    def __init__(self) -> None:
        self.conversation = Conversation()
        self.people = {PARTIES.client_id: Person(), PARTIES.therapist_id: Person()}
        self.stated: list[object] = []

    def run(self, command: Command) -> None:
        decide = turning.turn if isinstance(command, TurnParties) else conversation_waits.decide
        client, therapist = (self.people[name] for name in (command.parties.client_id, command.parties.therapist_id))
        decision = decide(command, self.conversation, client=client, therapist=therapist, policies=POLICIES)  # type: ignore[arg-type]
        for fact in cast("Sequence[conversation.Fact]", decision.facts):
            self.conversation = conversation.evolve(self.conversation, fact, NOW)
            self.stated.append(fact)

    def hear(self, person_id: str, told: PersonInput) -> None:
        for fact in client_inputs.decide(NoteAboutPerson(person_id, told, NOW), self.people[person_id]).facts:
            self.people[person_id] = client_inputs.evolve(self.people[person_id], cast("client_inputs.Fact", fact), NOW)
        self.run(EvaluateConversation(PARTIES, NOW))


def note(*messages: SentMessage, parties: Parties = PARTIES) -> NoteMessages:
    return NoteMessages(parties, messages, NOW)


def turn(parties: Parties = TURNED, number: int = 1) -> TurnParties:
    return TurnParties(parties, (1, number), NOW)


def sent(sequence: int, at: float, *, from_client: bool) -> SentMessage:
    return SentMessage(hour(at), sequence, f"m{sequence}", from_client)


@pytest.mark.rule("PL10")
def test_the_waits_of_a_turned_conversation_are_withdrawn_and_those_of_the_right_therapist_stated() -> None:
    world = Turning()
    world.run(note(sent(1, 0, from_client=True), sent(2, 1, from_client=False), sent(3, 5, from_client=True)))
    assert [wait.opening_sequence for wait in world.conversation.waits] == [1, 3]
    before = len(world.stated)
    world.run(turn())
    [wait] = world.conversation.waits
    assert (wait.opening_sequence, wait.ending) == (2, Answered(hour(5), 3))
    facts = world.stated[before:]
    assert {fact.opening_sequence for fact in facts if isinstance(fact, WaitWithdrawn)} == {1, 3}
    [opened] = [fact for fact in facts if isinstance(fact, WaitOpened)]
    assert (opened.client_id, opened.therapist_id) == (TURNED.client_id, TURNED.therapist_id)
    again = len(world.stated)
    world.run(turn())
    assert len(world.stated) == again
    world.run(turn(PARTIES, 2))
    assert [wait.opening_sequence for wait in world.conversation.waits] == [1, 3]
    world.run(turn(TURNED, 1))  # heard of late
    assert world.conversation.parties == PARTIES


@pytest.mark.rule("PL10")
def test_after_a_turn_each_of_the_two_is_judged_in_the_role_of_now_however_they_are_named() -> None:
    for parties in (PARTIES, TURNED):
        world = Turning()
        world.run(note(sent(1, 0, from_client=True), sent(2, 1, from_client=False)))
        world.run(turn())
        change = replace(suspended(2), version=1)
        world.people[PARTIES.client_id] = client_inputs.evolve(
            Person(), client_inputs.decide(NoteAboutPerson(PARTIES.client_id, change, NOW), Person()).facts[0], NOW
        )
        world.run(EvaluateConversation(parties, NOW))
        [wait] = world.conversation.waits
        assert (wait.opening_sequence, wait.ending) == (2, Voided(hour(2), VOID_REASON_THERAPIST_SUSPENSION))
        later = sent(3, 3, from_client=True)
        world.run(note(later if parties == TURNED else later.turned(), parties=parties))
        assert world.conversation.waits == (wait,)  # It is locked, whoever told of the message.
        world.run(turn(PARTIES, 2))
        assert [(each.opening_sequence, each.ending) for each in world.conversation.waits] == [
            (1, Answered(hour(1), 2))
        ]


@pytest.mark.rule("PL10", "SL8")
@given(pasts(), st.integers(0, 12), st.data())
def test_turned_roles_give_the_same_waits_whatever_is_heard_of_first(
    past: Past, turned_after: int, data: st.DataObject
) -> None:
    world = Turning()
    told: list[Command | tuple[str, PersonInput]] = [turn()]
    for message in past.messages:
        if message.sequence <= turned_after:
            told.append(note(message))
        else:
            told.append(note(message.turned(), parties=TURNED))
    told += [(PARTIES.client_id, item) for item in past.client_inputs]
    told += [(PARTIES.therapist_id, item) for item in past.therapist_inputs]
    for item in data.draw(st.permutations(told)):
        if isinstance(item, tuple):
            world.hear(*item)
        else:
            world.run(item)
    messages = [message.turned() for message in past.messages]
    expected = waits(TURNED, Inputs(messages, past.therapist_inputs, past.client_inputs), POLICIES)
    assert world.conversation.parties == TURNED
    assert set(world.conversation.waits) == set(expected)


@pytest.mark.rule("PL10")
def test_notes_from_before_and_after_a_turn_are_joined_the_way_round_of_the_last() -> None:
    first, second = sent(1, 0, from_client=True), sent(2, 1, from_client=True)
    joined = join_notes([note(first), note(second, parties=TURNED)])
    assert joined.parties == TURNED
    assert joined.messages == [replace(first, from_client=False), second]
