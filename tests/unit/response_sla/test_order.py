"""Order follows causes, not clocks: messages by sequence, a report after the last message its reporter knew of."""

from dataclasses import replace

import pytest
from hypothesis import given as drawn

from services.response_sla.domain.timeline import timeline
from services.response_sla.domain.wait import Answered
from services.response_sla.domain.waits import waits
from tests.unit.response_sla.histories import Past, pasts
from tests.unit.response_sla.story import (
    FIRST,
    NEXT,
    PARTIES,
    POLICIES,
    OfTherapist,
    answered,
    banned,
    client_writes,
    excluded,
    given,
    hour,
    lifted,
    opened,
    reported,
    suspended,
    therapist_writes,
    voided,
)

HALF_A_MINUTE = 1 / 128  # hours; exact in binary


@pytest.mark.rule("PL9")
@pytest.mark.parametrize("behind", [0, HALF_A_MINUTE, 1])
def test_a_report_is_after_the_message_it_names_however_far_the_clock_of_moderation_is_behind(behind: float) -> None:
    at = 10 + HALF_A_MINUTE / 2 - behind
    given(client_writes(0), therapist_writes(1), client_writes(10)).when(reported(at, knowing=3)).then(
        answered(FIRST, 0, 1), voided(NEXT, 10, max(10, at), by="r1")
    )


@pytest.mark.rule("PL9")
def test_a_report_is_before_the_next_message_though_the_clock_of_moderation_is_ahead() -> None:
    then = 10 + HALF_A_MINUTE
    given(client_writes(0), therapist_writes(1), client_writes(10)).when(
        reported(then + HALF_A_MINUTE, knowing=3), client_writes(then)
    ).then(answered(FIRST, 0, 1), voided(NEXT, 10, then, by="r1"), opened(NEXT, then))


@pytest.mark.rule("PL9", "SL4")
def test_a_reporter_who_names_an_old_message_still_knows_of_their_own_reply() -> None:
    given(client_writes(0), therapist_writes(1)).when(reported(1 + HALF_A_MINUTE, knowing=1)).then(
        answered(FIRST, 0, 1)
    )


@pytest.mark.rule("PL9", "SL4")
def test_a_reporter_who_names_an_old_message_still_knows_of_what_was_there_long_before() -> None:
    given(client_writes(0), therapist_writes(1), client_writes(5)).when(reported(9, knowing=2)).then(
        answered(FIRST, 0, 1), voided(NEXT, 5, 9, by="r1")
    )


@pytest.mark.rule("PL9")
def test_only_a_report_that_names_a_message_of_this_conversation_comes_after_it() -> None:
    given(client_writes(5)).when(reported(4, knowing=1)).then(excluded(FIRST, 5, final=False))
    elsewhere = replace(reported(4), conversation_id="another", last_sequence=1)
    given(client_writes(5)).when(elsewhere).then(opened(FIRST, 5))


@pytest.mark.rule("PL9", "SL4")
def test_what_a_report_brought_about_comes_no_earlier_than_the_report() -> None:
    given(client_writes(0), therapist_writes(1), client_writes(10)).when(reported(9, knowing=3), suspended(9)).then(
        answered(FIRST, 0, 1), voided(NEXT, 10, 10, by="r1")
    )


@pytest.mark.rule("PL9", "SL1")
def test_a_reply_by_a_clock_that_is_behind_ends_the_wait_at_the_time_it_opened() -> None:
    given(client_writes(5), therapist_writes(4), client_writes(6)).then(answered(FIRST, 5, 5), opened(NEXT, 6))


@pytest.mark.rule("PL9", "SL9")
@drawn(pasts())
def test_no_clock_makes_a_response_time_negative_or_the_order_go_back(past: Past) -> None:
    ahead = [replace(m, at=hour(10), imported=False) if m.sequence % 3 == 0 else m for m in past.messages]
    inputs = replace(past.inputs, messages=ahead)
    times = [turn.at for turn in timeline(PARTIES, inputs)]
    assert times == sorted(times)
    for wait in waits(PARTIES, inputs, POLICIES):
        assert not isinstance(wait.ending, Answered) or wait.ending.at >= wait.opened_at


@pytest.mark.rule("PL6", "PL9")
def test_imported_messages_count_by_their_own_times_whatever_their_sequence() -> None:
    story = given(client_writes(50), therapist_writes(51))
    brought = [replace(client_writes(0), imported=True), replace(therapist_writes(3), imported=True)]
    story.when(*brought).then(answered(FIRST, 0, 3), answered(NEXT, 50, 51))


@pytest.mark.rule("SL4", "MO1")
def test_a_suspension_of_the_therapist_voids_the_wait_open_with_them_and_a_lift_reopens_none() -> None:
    story = given(client_writes(0)).when(OfTherapist(suspended(5)), client_writes(6))
    story.then(voided(FIRST, 0, 5))
    story.when(OfTherapist(lifted(10))).then(voided(FIRST, 0, 5))
    story.when(OfTherapist(lifted(10)), client_writes(11)).then(voided(FIRST, 0, 5), opened(NEXT, 11))


@pytest.mark.rule("SL4", "MO1")
def test_while_one_of_the_two_is_locked_the_lift_of_the_other_opens_nothing() -> None:
    given(client_writes(0), suspended(5), OfTherapist(banned(6)), lifted(10)).when(client_writes(11)).then(
        voided(FIRST, 0, 5)
    )
