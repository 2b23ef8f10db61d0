"""What ends by time, and how late it may be recorded."""

import pytest

from kernel.store.interface import Timer
from tests.sentences import START, at
from tests.unit.moderation.words import (
    DANGER,
    DAY,
    MODERATOR,
    brake_lapsed,
    braked,
    contact_seen,
    given,
    hour,
    record_ends,
    reported,
    suspend,
    suspended,
    suspension_lapsed,
    warn,
    warned,
)

WEEK = 7 * DAY
PROVISIONAL = (contact_seen("t1"), *reported("r1", DANGER), at(START, suspended(24, "r1")))


@pytest.mark.rule("MO4.g")
def test_a_suspension_nobody_reviewed_within_a_day_lapses_to_a_brake_and_the_brake_after_a_week() -> None:
    lapse = given(*PROVISIONAL).when(record_ends(at=24)).then(suspension_lapsed(24 + WEEK))
    assert list(lapse.timers) == [Timer("measure-ends", hour(24 + WEEK))]
    lapsed = given(*PROVISIONAL, at(hour(24), suspension_lapsed(24 + WEEK)))
    end = lapsed.when(record_ends(at=24 + WEEK)).then(brake_lapsed())
    assert list(end.cancelled_timers) == ["measure-ends"]


@pytest.mark.rule("MO4")
def test_a_brake_nobody_decided_about_lapses_after_a_week() -> None:
    given(braked(WEEK, by=MODERATOR)).when(record_ends(at=WEEK)).then(brake_lapsed())


@pytest.mark.rule("MO4")
def test_a_moderators_timed_suspension_leaves_a_brake_of_a_week_too() -> None:
    given(suspended(48, by=MODERATOR)).when(record_ends(at=48)).then(suspension_lapsed(48 + WEEK))


@pytest.mark.rule("MO1")
def test_ends_that_came_while_nobody_looked_are_recorded_in_their_order() -> None:
    given(*PROVISIONAL).when(record_ends(at=1_000)).then(suspension_lapsed(24 + WEEK), brake_lapsed())


@pytest.mark.rule("MO1")
def test_an_end_is_recorded_once_and_not_before_its_time() -> None:
    given(*PROVISIONAL).when(record_ends(at=23.999)).then()
    given(*PROVISIONAL, at(hour(24), suspension_lapsed(24 + WEEK))).when(record_ends(at=25)).then()
    given().when(record_ends(at=1)).then()


@pytest.mark.rule("MO1")
def test_an_end_is_recorded_before_whatever_is_decided_after_it() -> None:
    given(*PROVISIONAL).when(warn(at=30)).then(suspension_lapsed(24 + WEEK), warned("r1"))
    decision = given(*PROVISIONAL).when(suspend(until=40, at=30)).then(
        suspension_lapsed(24 + WEEK), suspended(40, "r1", by=MODERATOR)
    )  # fmt: skip
    assert list(decision.timers) == [Timer("measure-ends", hour(40))]


@pytest.mark.rule("MO4")
def test_a_state_began_when_it_was_decided_or_when_the_one_before_it_ended() -> None:
    standing = given(*PROVISIONAL).state
    assert [standing.since(hour(h)) for h in (1, 24, 24 + WEEK)] == [START, hour(24), hour(24 + WEEK)]
    assert [len(standing.phases_from(hour(h))) for h in (1, 24, 24 + WEEK)] == [3, 2, 1]
