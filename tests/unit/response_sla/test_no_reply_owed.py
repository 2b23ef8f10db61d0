"""A therapist may say that no reply is owed: the wait is counted apart, and comes back when the client asks again."""

import random
from datetime import timedelta
from typing import cast

import pytest

from kernel.errors import Rejected
from services.response_sla.domain.client_inputs import Person
from services.response_sla.domain.conversation import Fact, evolve
from services.response_sla.domain.figures import Figures, figures
from services.response_sla.domain.policy import Policy, only
from services.response_sla.domain.turning import TurnParties, turn
from services.response_sla.domain.wait import Parties, WaitState
from services.response_sla.domain.waits import waits
from tests.unit.response_sla.histories import NOW, Arrivals, Past
from tests.unit.response_sla.story import (
    FIRST,
    NEXT,
    PARTIES,
    POLICIES,
    Story,
    answered,
    client_writes,
    excluded,
    given,
    hour,
    lifted,
    no_reply_owed,
    not_owed,
    opened,
    reported,
    suspended,
    therapist_writes,
    voided,
)

WEEK = 7 * 24
THANKS = given(client_writes(0), therapist_writes(1), client_writes(2))


def figures_of(story: Story, as_of: float) -> Figures:
    return figures(story.waits, hour(0), hour(10_000), hour(as_of), POLICIES)


@pytest.mark.rule("SL15")
def test_a_wait_that_is_owed_no_reply_leaves_the_figures_and_is_counted_apart() -> None:
    story = THANKS.when(no_reply_owed(3))
    story.then(answered(FIRST, 0, 1), not_owed(NEXT, 2, 3))
    group = figures_of(story, 1000).next
    assert (group.opened, group.not_owed) == (1, 1)
    assert (group.closed, group.open, group.voided, group.open_past, group.share_within) == (0, 0, 0, 0, None)


@pytest.mark.rule("SL15")
@pytest.mark.parametrize("after", [1, WEEK])
def test_it_comes_back_from_its_first_opening_when_the_client_asks_again_in_time(after: float) -> None:
    story = THANKS.when(no_reply_owed(3), client_writes(3 + after))
    story.then(answered(FIRST, 0, 1), opened(NEXT, 2))
    story.when(therapist_writes(200)).then(answered(FIRST, 0, 1), answered(NEXT, 2, 200))


@pytest.mark.rule("SL15")
def test_after_a_week_the_client_opens_another_wait() -> None:
    THANKS.when(no_reply_owed(3), client_writes(3 + WEEK + 0.001)).then(
        answered(FIRST, 0, 1), not_owed(NEXT, 2, 3), opened(NEXT, 3 + WEEK + 0.001)
    )


@pytest.mark.rule("SL15")
def test_a_message_that_expects_no_reply_does_not_ask_again() -> None:
    THANKS.when(no_reply_owed(3), client_writes(4, expects_reply=False)).then(
        answered(FIRST, 0, 1), not_owed(NEXT, 2, 3)
    )


@pytest.mark.rule("SL15")
def test_it_may_be_said_again_of_a_wait_that_came_back() -> None:
    story = THANKS.when(no_reply_owed(3), client_writes(4), no_reply_owed(5))
    story.then(answered(FIRST, 0, 1), not_owed(NEXT, 2, 5))
    story.when(client_writes(5 + WEEK)).then(answered(FIRST, 0, 1), opened(NEXT, 2))


@pytest.mark.rule("SL15", "SL5")
def test_as_of_an_instant_the_wait_is_what_it_was_then() -> None:
    story = THANKS.when(no_reply_owed(3), client_writes(5), therapist_writes(9))
    assert [
        (group.open, group.not_owed, group.closed)
        for group in (figures_of(story, as_of).next for as_of in (2.5, 4, 6, 9))
    ] == [(1, 0, 0), (0, 1, 0), (1, 0, 0), (0, 0, 1)]


@pytest.mark.rule("SL15")
@pytest.mark.parametrize(
    "ends", [therapist_writes(4), suspended(4, 5), reported(4)], ids=["a reply", "a suspension", "a report"]
)
def test_what_would_have_ended_it_keeps_it_from_coming_back(ends: object) -> None:
    THANKS.when(no_reply_owed(3), ends, client_writes(6)).then(  # type: ignore[arg-type]
        answered(FIRST, 0, 1), not_owed(NEXT, 2, 3), opened(NEXT, 6)
    )


@pytest.mark.rule("SL15", "SL4")
def test_it_changes_nothing_about_what_a_suspension_voids() -> None:
    THANKS.when(no_reply_owed(3), client_writes(4), suspended(5), lifted(6)).when(client_writes(7)).then(
        answered(FIRST, 0, 1), voided(NEXT, 2, 5), opened(NEXT, 7)
    )


@pytest.mark.rule("SL15", "SL4")
def test_a_wait_excluded_by_a_report_is_excluded_whatever_was_said_before() -> None:
    given(client_writes(0), no_reply_owed(1)).when(reported(2)).then(excluded(FIRST, 0, final=False))


@pytest.mark.rule("SL15", "PL9")
def test_what_the_client_wrote_after_the_last_message_the_therapist_knew_asks_again() -> None:
    soon = 2 + 1 / 128  # half a minute
    THANKS.when(no_reply_owed(soon + 1 / 128, knowing=3), client_writes(soon)).then(
        answered(FIRST, 0, 1), opened(NEXT, 2)
    )
    THANKS.when(no_reply_owed(soon + 1 / 128), client_writes(soon)).then(
        answered(FIRST, 0, 1), not_owed(NEXT, 2, soon + 1 / 128)
    )


@pytest.fixture
def asked() -> Arrivals:
    arrivals = Arrivals()
    arrivals.messages(*THANKS.messages)
    return arrivals


def names(arrivals: Arrivals, after: int) -> list[str]:
    return [type(fact).__name__ for fact in arrivals.stated[after:]]


@pytest.mark.rule("SL15", "SL1")
def test_the_therapists_word_is_a_fact_and_so_is_the_return(asked: Arrivals) -> None:
    before = len(asked.stated)
    asked.no_reply_owed(3, at=3)
    asked.no_reply_owed(3, at=4)
    assert names(asked, before) == ["ReplyNotOwed", "WaitNotOwed"]
    asked.messages(*THANKS.when(client_writes(5), therapist_writes(6)).messages)
    assert names(asked, before)[2:] == ["MessageNoted", "MessageNoted", "WaitResumed", "WaitAnswered"]


@pytest.mark.rule("SL15")
def test_only_the_conversations_therapist_says_so_of_a_wait_that_is_open(asked: Arrivals) -> None:
    for refused, reason in (
        ({"therapist_id": "another"}, "NOT_FOUND"),
        ({"opening_sequence": 2}, "NOT_FOUND"),
        ({"opening_sequence": 1}, "WAIT_NOT_OPEN"),
        ({"knowing": 2}, "FIELD_MALFORMED"),
        ({"knowing": 4}, "FIELD_MALFORMED"),
    ):
        with pytest.raises(Rejected, match=reason):
            asked.no_reply_owed(**{"opening_sequence": 3, "at": 3, **refused})  # type: ignore[arg-type]


@pytest.mark.rule("SL15", "SL8")
def test_messages_in_any_order_around_the_therapists_word_give_the_same_waits() -> None:
    dice = random.Random(5)
    states = set()
    for _ in range(60):
        asks = [client_writes(dice.randrange(3, 400)) for _ in range(3)]
        replies = [therapist_writes(dice.randrange(3, 400)) for _ in range(dice.randrange(2))]
        later = THANKS.when(*sorted([*asks, *replies], key=lambda message: message.at)).messages[3:]
        arrivals = Arrivals()
        arrivals.messages(*THANKS.messages)
        arrivals.no_reply_owed(3, at=2.5)
        dice.shuffle(later)
        for message in later:
            arrivals.messages(message)
        past = Past([*THANKS.messages, *later], [], [], list(arrivals.conversation.not_owed))
        assert arrivals.conversation.waits == waits(PARTIES, past.inputs, POLICIES)
        states |= {wait.state for wait in arrivals.conversation.waits[1:]}
    assert states == {WaitState.OPEN, WaitState.ANSWERED, WaitState.NOT_OWED}


@pytest.mark.rule("SL15")
def test_how_long_it_may_come_back_is_a_number_of_the_policy() -> None:
    story = THANKS.when(no_reply_owed(3), client_writes(5))
    story.then(answered(FIRST, 0, 1), opened(NEXT, 2))
    hasty = only(Policy("hasty", return_max=timedelta(hours=1)))
    story.under(hasty).then(answered(FIRST, 0, 1), not_owed(NEXT, 2, 3), opened(NEXT, 5))


@pytest.mark.rule("SL15", "PL10")
def test_when_the_roles_are_turned_the_word_of_the_other_counts_no_more(asked: Arrivals) -> None:
    asked.no_reply_owed(3, at=3)
    turned = Parties(PARTIES.conversation_id, PARTIES.therapist_id, PARTIES.client_id)
    decision = turn(
        TurnParties(turned, (1, 1), NOW), asked.conversation, client=Person(), therapist=Person(), policies=POLICIES
    )
    state = asked.conversation
    for fact in decision.facts:
        state = evolve(state, cast("Fact", fact), NOW)
    assert (state.parties, state.not_owed, state.waits) == (turned, (), ())
    with pytest.raises(Rejected, match="NOT_FOUND"):
        asked.no_reply_owed(3, at=4, client_id=PARTIES.therapist_id, therapist_id=PARTIES.client_id)
