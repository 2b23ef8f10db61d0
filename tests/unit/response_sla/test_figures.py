"""What waits come to: counts that sum, exact percentiles, a share that waiting never helps."""

import math
from datetime import timedelta
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.response_sla.domain.figures import Figures, figures, nearest_rank
from services.response_sla.domain.policy import Policy, only
from services.response_sla.domain.wait import Answered, Wait
from services.response_sla.domain.waits import waits
from tests.unit.response_sla import story
from tests.unit.response_sla.histories import Past, hours, pasts
from tests.unit.response_sla.story import (
    FIRST,
    NEXT,
    PARTIES,
    POLICIES,
    client_writes,
    hour,
    reported,
    suspended,
    therapist_writes,
)


def figures_of(*happened: story.Told, start: float = 0, end: float = 1000, as_of: float = 1000) -> Figures:
    return figures(story.given(*happened).waits, hour(start), hour(end), hour(as_of), POLICIES)


def answered_after(*times: timedelta) -> list[Wait]:
    return [Wait(n, NEXT, hour(0), Answered(hour(0) + time, n + 1)) for n, time in enumerate(times, 1)]


@pytest.mark.rule("SL9")
def test_first_and_next_responses_have_figures_of_their_own_and_together() -> None:
    found = figures_of(client_writes(0), therapist_writes(1), client_writes(2), therapist_writes(5))
    hour_ms = 3_600_000
    assert (found.first.median_ms, found.next.median_ms, found.all.p90_ms) == (hour_ms, 3 * hour_ms, 3 * hour_ms)
    assert (found.first.closed, found.next.closed, found.all.closed) == (1, 1, 2)


@pytest.mark.rule("SL9")
def test_without_a_closed_wait_there_is_no_percentile_and_no_share() -> None:
    found = figures_of(client_writes(0), as_of=24)
    assert (found.all.median_ms, found.all.p90_ms, found.all.share_within) == (None, None, None)
    assert found.all.open == 1


@pytest.mark.rule("SL9")
def test_an_open_wait_counts_against_the_share_from_the_moment_it_is_past_its_target() -> None:
    happened = (client_writes(0), therapist_writes(24), client_writes(30))
    at_target, past_target = figures_of(*happened, as_of=54), figures_of(*happened, as_of=54.001)
    assert (at_target.all.share_within, past_target.all.share_within) == (Fraction(1), Fraction(1, 2))


@pytest.mark.rule("SL9")
def test_a_wait_closed_past_its_target_is_not_within_it() -> None:
    assert figures_of(client_writes(0), therapist_writes(24.001)).first.share_within == 0


@pytest.mark.rule("SL9")
def test_first_and_next_responses_have_targets_of_their_own() -> None:
    happened = (client_writes(0), therapist_writes(2), client_writes(3), therapist_writes(5))
    policy = only(Policy(first_target=timedelta(hours=1), next_target=timedelta(hours=2)))
    found = figures(story.given(*happened).waits, hour(0), hour(9), hour(9), policy)
    assert (found.first.share_within, found.next.share_within, found.all.share_within) == (
        Fraction(0),
        Fraction(1),
        Fraction(1, 2),
    )


@pytest.mark.rule("SL9")
def test_below_the_minimum_sample_there_is_no_rank() -> None:
    few = figures(answered_after(*[timedelta(1)] * 9), hour(0), hour(1), hour(1000), POLICIES)
    enough = figures(answered_after(*[timedelta(1)] * 10), hour(0), hour(1), hour(1000), POLICIES)
    assert (few.all.is_ranked, enough.all.is_ranked) == (False, True)


def test_a_window_takes_the_waits_opened_from_its_start_until_before_its_end() -> None:
    happened = (client_writes(0), therapist_writes(1), client_writes(2), therapist_writes(3), client_writes(4))
    assert figures_of(*happened, start=2, end=4).all.opened == 1


@pytest.mark.rule("SL5")
def test_as_of_an_earlier_time_a_wait_is_open_that_was_answered_or_voided_later() -> None:
    happened = (client_writes(0), therapist_writes(5), client_writes(6), suspended(9))
    assert figures_of(*happened, as_of=4).all.open == 1
    assert figures_of(*happened, as_of=8).all == figures_of(*happened[:3], as_of=8).all


@pytest.mark.rule("SL4")
def test_an_exclusion_leaves_windows_before_the_report_too() -> None:
    found = figures_of(client_writes(0), reported(3), end=1, as_of=1)
    assert (found.all.opened, found.all.excluded, found.all.open) == (1, 1, 0)


def test_a_voided_wait_is_shown_and_has_no_time() -> None:
    found = figures_of(client_writes(0), suspended(3))
    assert (found.all.voided, found.all.closed, found.all.median_ms) == (1, 0, None)


@pytest.mark.rule("SL14")
def test_times_are_cut_to_the_millisecond() -> None:
    found = figures(answered_after(timedelta(microseconds=1999)), hour(0), hour(1), hour(1), POLICIES)
    assert found.next.median_ms == 1


@pytest.mark.rule("SL7")
@given(pasts(), hours, hours, hours)
def test_the_parts_sum_to_the_whole(past: Past, start: int, end: int, as_of: int) -> None:
    found = waits(PARTIES, past.inputs, POLICIES)
    group = figures(found, hour(start), hour(end), hour(as_of), POLICIES)
    for part in (group.first, group.next, group.all):
        assert part.closed + part.open + part.voided + part.excluded + part.not_owed == part.opened
    assert group.first.opened + group.next.opened == group.all.opened
    assert group.all.opened == sum(
        hour(start) <= wait.opened_at < hour(end) and wait.opened_at <= hour(as_of) for wait in found
    )
    assert sum(wait.kind == FIRST for wait in found) == bool(found)


@pytest.mark.rule("SL9")
@given(st.lists(st.integers(0, 10**12)), st.integers(1, 100))
def test_a_percentile_is_the_smallest_value_that_enough_of_the_values_do_not_exceed(
    values: list[int], percent: int
) -> None:
    found = nearest_rank(sorted(values), percent)
    enough = [value for value in values if 100 * sum(other <= value for other in values) >= percent * len(values)]
    assert found == min(enough, default=None)


@pytest.mark.rule("SL9")
@given(st.lists(st.integers(0, 10**12), min_size=1), st.integers(1, 100))
def test_a_percentile_is_the_nearest_rank_of_the_sorted_values(values: list[int], percent: int) -> None:
    rank = math.ceil(Fraction(percent, 100) * len(values))
    assert nearest_rank(sorted(values), percent) == sorted(values)[rank - 1]
