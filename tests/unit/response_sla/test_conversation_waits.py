"""The stream of a conversation states its waits, whatever way its inputs arrive."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdspace.response_sla.v1 import private_pb2 as facts
from services.response_sla.domain.conversation_waits import Conversation, evolve
from services.response_sla.domain.inputs import SentMessage
from services.response_sla.domain.wait import Wait, from_message
from services.response_sla.domain.waits import waits
from tests.unit.response_sla import histories
from tests.unit.response_sla.histories import NOW, Arrivals, Past, pasts, shuffled_and_doubled
from tests.unit.response_sla.story import BAD_FAITH, POLICY, THERAPIST, decided, hour, reported, suspended


def client_message(sequence: int, at: float) -> SentMessage:
    return SentMessage(hour(at), sequence, f"m{sequence}", from_client=True)


def reply(sequence: int, at: float) -> SentMessage:
    return SentMessage(hour(at), sequence, f"m{sequence}", from_client=False)


def stated_names(arrivals: Arrivals) -> list[str]:
    return [type(fact).__name__ for fact in arrivals.stated]


def expected(past: Past) -> tuple[Wait, ...]:
    return waits(THERAPIST, past.messages, past.client_inputs, POLICY)


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


def test_an_evaluation_before_any_message_states_nothing() -> None:
    arrivals = Arrivals()
    arrivals.client_input(reported(3))
    arrivals.evaluation()
    assert not arrivals.stated


@pytest.mark.rule("SL8")
@settings(deadline=None)
@given(st.data(), pasts())
def test_any_order_and_number_of_arrivals_gives_the_same_waits(data: st.DataObject, past: Past) -> None:
    messages = data.draw(st.permutations([*past.messages, *past.messages[:3]]))
    client_inputs = data.draw(st.permutations([*past.client_inputs, *past.client_inputs[:3]]))
    assert waits(THERAPIST, messages, client_inputs, POLICY) == expected(past)


@st.composite
def arrivals_of(draw: st.DrawFn) -> tuple[Past, list[Any]]:
    """A past, and its inputs as they come in: in order of time or in any, some twice, some evaluations between."""
    past = draw(pasts())
    everything: list[Any] = [*past.messages, *past.client_inputs]
    if draw(st.booleans()):
        return past, shuffled_and_doubled(draw, [*everything, None])
    return past, sorted(everything, key=lambda item: item.at)


@pytest.mark.rule("SL8")
@settings(deadline=None, max_examples=300)
@given(arrivals_of())
def test_what_is_stated_step_by_step_is_what_the_whole_past_gives(arrived: tuple[Past, list[Any]]) -> None:
    past, inputs = arrived
    arrivals = Arrivals()
    for item in inputs:
        if item is None:
            arrivals.evaluation()
        elif isinstance(item, SentMessage):
            arrivals.messages(item)
        else:
            arrivals.client_input(item)
    arrivals.evaluation()
    assert arrivals.conversation.waits == expected(past)


@pytest.mark.rule("SL6")
@settings(deadline=None)
@given(arrivals_of())
def test_the_last_fact_about_a_wait_is_the_wait(arrived: tuple[Past, list[Any]]) -> None:
    past, inputs = arrived
    arrivals = Arrivals()
    for item in (item for item in inputs if isinstance(item, SentMessage)):
        arrivals.messages(item)
    for item in past.client_inputs:
        arrivals.client_input(item)
        arrivals.evaluation()
    rows: dict[int, Wait] = {}
    for fact in arrivals.stated:
        match fact:
            case facts.WaitWithdrawn():
                del rows[fact.opening_sequence]
            case facts.MessageNoted() | facts.ConversationEvaluated():
                pass
            case _:
                rows[fact.wait.opening_sequence] = from_message(fact.wait)
    assert tuple(sorted(rows.values(), key=lambda wait: wait.place)) == expected(past)


def test_two_decisions_on_one_state_do_not_meet() -> None:
    arrivals = Arrivals()
    arrivals.messages(client_message(1, 0), reply(2, 1))
    before = arrivals.conversation
    arrivals.messages(client_message(3, 2))
    other = evolve(before, facts.MessageNoted(sequence=3, source_fact_id="other"), NOW)
    assert [message.fact_id for message in arrivals.conversation.messages] == ["m1", "m2", "m3"]
    assert [message.fact_id for message in other.messages] == ["m1", "m2", "other"]
    assert len(before.messages) == 2


@pytest.mark.parametrize("client_inputs", [[], [reported(-5), decided(-4, BAD_FAITH)]], ids=["none", "some"])
def test_a_message_ahead_of_everything_is_not_judged_from_the_start(monkeypatch, client_inputs) -> None:
    arrivals = Arrivals()
    for item in client_inputs:
        arrivals.client_input(item)
    arrivals.messages(client_message(1, 0))

    def from_the_start(*_: object) -> None:
        raise AssertionError("the whole conversation was folded again")

    monkeypatch.setattr(histories.conversation_waits, "waits", from_the_start)
    for sequence in range(2, 50):
        at = float(sequence)
        arrivals.messages(client_message(sequence, at) if sequence % 2 else reply(sequence, at))
    assert len(arrivals.conversation.waits) == 25


def test_the_state_knows_which_messages_it_has_without_keeping_their_ids() -> None:
    state = Conversation()
    for sequence in (2, 3, 1, 5):
        state = evolve(state, facts.MessageNoted(sequence=sequence), NOW)
    assert (state.noted_to, state.noted_ahead) == (3, frozenset({5}))
    assert [state.has(sequence) for sequence in range(1, 7)] == [True, True, True, False, True, False]
