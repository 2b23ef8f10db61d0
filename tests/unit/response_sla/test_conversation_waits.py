"""The stream of a conversation states its waits, whatever way its inputs arrive."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdspace.response_sla.v1 import private_pb2 as facts
from services.response_sla.domain import conversation_waits
from services.response_sla.domain.conversation import Conversation, evolve
from services.response_sla.domain.inputs import PersonInput, SentMessage, Source
from services.response_sla.domain.timeline import Inputs
from services.response_sla.domain.wait import Wait, WaitState, from_message
from services.response_sla.domain.waits import waits
from tests.unit.response_sla.histories import NOW, Arrivals, Past, pasts, shuffled_and_doubled
from tests.unit.response_sla.story import (
    BAD_FAITH,
    DISMISSED,
    PARTIES,
    POLICIES,
    braked,
    decided,
    hour,
    lifted,
    reported,
    suspended,
)

OPEN, VOIDED, EXCLUDED = WaitState.OPEN, WaitState.VOIDED, WaitState.EXCLUDED


def client_message(sequence: int, at: float) -> SentMessage:
    return SentMessage(hour(at), sequence, f"m{sequence}", from_client=True)


def reply(sequence: int, at: float) -> SentMessage:
    return SentMessage(hour(at), sequence, f"m{sequence}", from_client=False)


def stated_names(arrivals: Arrivals) -> list[str]:
    return [type(fact).__name__ for fact in arrivals.stated]


def expected(past: Past) -> tuple[Wait, ...]:
    return waits(PARTIES, past.inputs, POLICIES)


@pytest.mark.rule("SL1")
def test_a_message_and_its_reply_are_stated_as_a_wait_opened_and_answered() -> None:
    arrivals = Arrivals()
    arrivals.messages(client_message(1, 0))
    arrivals.messages(reply(2, 3))
    assert stated_names(arrivals) == ["MessageNoted", "WaitOpened", "MessageNoted", "WaitAnswered"]


@pytest.mark.rule("SL1", "SL4")
def test_a_suspension_is_stated_as_a_wait_voided_when_the_conversation_is_evaluated() -> None:
    arrivals = Arrivals()
    arrivals.messages(client_message(1, 0))
    arrivals.client_input(suspended(5))
    arrivals.evaluation()
    arrivals.evaluation()
    assert stated_names(arrivals)[2:] == ["WaitVoided", "ConversationEvaluated"]


@pytest.mark.rule("SL4")
def test_an_exclusion_is_stated_at_the_report_and_taken_back_by_a_finding_of_bad_faith() -> None:
    arrivals = Arrivals()
    arrivals.messages(client_message(1, 0))
    arrivals.client_input(reported(3))
    arrivals.evaluation()
    arrivals.client_input(decided(9, BAD_FAITH))
    arrivals.evaluation()
    assert [name for name in stated_names(arrivals)[2:] if name.startswith("Wait")] == ["WaitExcluded", "WaitRestated"]


@pytest.mark.rule("SL8")
def test_a_reply_that_arrives_late_restates_the_wait_it_ended_and_opens_the_one_after_it() -> None:
    arrivals = Arrivals()
    arrivals.messages(client_message(1, 0), client_message(3, 5), reply(4, 6))
    arrivals.messages(reply(2, 3))
    assert stated_names(arrivals)[-3:] == ["WaitRestated", "WaitOpened", "WaitAnswered"]


@pytest.mark.rule("SL8")
def test_a_first_message_that_arrives_late_withdraws_the_wait_that_was_none() -> None:
    arrivals = Arrivals()
    arrivals.messages(client_message(2, 5))
    arrivals.messages(client_message(1, 0))
    assert stated_names(arrivals)[-2:] == ["WaitWithdrawn", "WaitOpened"]


@pytest.mark.rule("SL8")
def test_what_moderation_said_is_noted_once_however_often_it_arrives() -> None:
    arrivals = Arrivals()
    for item in (reported(3), decided(9, BAD_FAITH), suspended(5)):
        arrivals.client_input(item)
        arrivals.client_input(item)
    assert arrivals.client.inputs == (reported(3), decided(9, BAD_FAITH), suspended(5))


def test_an_evaluation_before_any_message_states_nothing() -> None:
    arrivals = Arrivals()
    arrivals.client_input(reported(3))
    arrivals.evaluation()
    assert not arrivals.stated


@pytest.mark.rule("SL8.a")
@given(st.data(), pasts())
def test_any_order_and_number_of_arrivals_gives_the_same_waits(data: st.DataObject, past: Past) -> None:
    messages = data.draw(st.permutations([*past.messages, *past.messages[:3]]))
    client_inputs = data.draw(st.permutations([*past.client_inputs, *past.client_inputs[:3]]))
    arrived = Inputs(messages, client_inputs, [*past.therapist_inputs, *past.therapist_inputs[:1]][::-1])
    assert waits(PARTIES, arrived, POLICIES) == expected(past)


@st.composite
def arrivals_of(draw: st.DrawFn) -> list[SentMessage | PersonInput]:
    """The inputs of a past as they come in: in order of time or in any, some of them twice."""
    past = draw(pasts())
    everything: list[SentMessage | PersonInput] = [*past.messages, *past.client_inputs, *past.therapist_inputs]
    in_time = sorted(everything, key=lambda item: (item.at, isinstance(item, SentMessage), item.fact_id))
    return shuffled_and_doubled(draw, everything) if draw(st.booleans()) else in_time


def arrive(arrivals: Arrivals, item: SentMessage | PersonInput) -> None:
    if isinstance(item, SentMessage):
        arrivals.messages(item)
    elif is_about_therapist(item):
        arrivals.therapist_input(item)
    else:
        arrivals.client_input(item)


def is_about_therapist(item: PersonInput) -> bool:
    return item.fact_id.startswith("t")


@pytest.mark.rule("SL8")
@settings(max_examples=500)
@given(arrivals_of(), st.booleans())
def test_after_every_arrival_the_waits_stated_are_those_of_everything_known(
    arriving: list[SentMessage | PersonInput], is_evaluated_at_once: bool
) -> None:
    arrivals, known = Arrivals(), Past([], [], [])
    for item in arriving:
        is_news = item not in known.messages
        arrive(arrivals, item)
        if isinstance(item, SentMessage):
            known.messages.append(item)
        else:
            (known.therapist_inputs if is_about_therapist(item) else known.client_inputs).append(item)
            if is_evaluated_at_once:
                arrivals.evaluation()
        if is_evaluated_at_once or (is_news and isinstance(item, SentMessage)):
            assert arrivals.conversation.waits == expected(known)


@pytest.mark.rule("SL6")
@given(arrivals_of())
def test_the_last_fact_about_a_wait_is_the_wait(arriving: list[SentMessage | PersonInput]) -> None:
    arrivals = Arrivals()
    for item in arriving:
        arrive(arrivals, item)
        arrivals.evaluation()
    rows: dict[int, Wait] = {}
    for fact in arrivals.stated:
        match fact:
            case facts.WaitWithdrawn():
                del rows[fact.opening_sequence]
            case facts.MessageNoted() | facts.PartiesTurned() | facts.ConversationEvaluated() | facts.ReplyNotOwed():
                pass
            case _:
                rows[fact.wait.opening_sequence] = from_message(fact.wait)
    assert tuple(sorted(rows.values(), key=lambda wait: wait.place)) == arrivals.conversation.waits


@pytest.mark.rule("SL4")
def test_an_exclusion_once_evaluated_holds_for_messages_until_the_decision_and_not_after_it() -> None:
    arrivals = Arrivals()
    arrivals.messages(client_message(1, 0))
    arrivals.client_input(reported(3))
    arrivals.evaluation()
    arrivals.messages(reply(2, 4))
    arrivals.messages(client_message(3, 5))
    arrivals.client_input(decided(9, DISMISSED))
    arrivals.evaluation()
    arrivals.messages(client_message(4, 10))
    assert [wait.state for wait in arrivals.conversation.waits] == [EXCLUDED, EXCLUDED, OPEN]


@pytest.mark.rule("SL4", "SL8")
def test_a_message_is_judged_by_a_suspension_that_no_evaluation_has_reached_yet() -> None:
    arrivals = Arrivals()
    arrivals.messages(client_message(1, 0))
    arrivals.client_input(suspended(5))
    arrivals.messages(client_message(2, 6))
    assert [wait.state for wait in arrivals.conversation.waits] == [VOIDED]


def test_two_decisions_on_one_state_do_not_meet() -> None:
    arrivals = Arrivals()
    arrivals.messages(client_message(1, 0), reply(2, 1))
    before = arrivals.conversation
    arrivals.messages(client_message(3, 2))
    other = evolve(before, facts.MessageNoted(sequence=3, source_fact_id="other"), NOW)
    assert [message.fact_id for message in arrivals.conversation.messages] == ["m1", "m2", "m3"]
    assert [message.fact_id for message in other.messages] == ["m1", "m2", "other"]
    assert len(before.messages) == 2


@pytest.mark.parametrize("client_inputs", [[], [braked(-5), lifted(-4)]], ids=["none", "some"])
def test_a_message_ahead_of_everything_is_not_judged_from_the_start(
    monkeypatch: pytest.MonkeyPatch, client_inputs: list[PersonInput]
) -> None:
    arrivals = Arrivals()
    for item in client_inputs:
        arrivals.client_input(item)
    arrivals.messages(client_message(1, 0))

    def from_the_start(*_: object) -> None:
        raise AssertionError("the whole conversation was folded again")

    monkeypatch.setattr(conversation_waits, "waits", from_the_start)
    for sequence in range(2, 50):
        at = float(sequence)
        arrivals.messages(client_message(sequence, at) if sequence % 2 else reply(sequence, at))
    assert len(arrivals.conversation.waits) == 25


def test_the_state_knows_which_messages_it_has_without_keeping_their_ids() -> None:
    state = Conversation()
    for sequence in (2, 3, 1, 5):
        state = evolve(state, facts.MessageNoted(sequence=sequence, source="a/b", source_epoch=1), NOW)
    source = Source("a/b", 1)
    assert state.noted.runs == {source: ((1, 3), (5, 5))}
    known = [SentMessage(NOW, sequence, "", from_client=True, source=source) for sequence in range(1, 7)]
    assert [state.noted.has(message) for message in known] == [True, True, True, False, True, False]
    assert not state.noted.has(replace(known[0], source=Source("a/b", 2)))
