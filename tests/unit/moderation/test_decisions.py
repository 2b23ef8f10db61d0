"""What moderators decide, and what it leaves."""

import pytest

from kernel.store.interface import Timer
from tests.sentences import START, at
from tests.unit.moderation.words import (
    BAD_FAITH,
    CLIENT,
    DANGER,
    DAY,
    DISMISSED,
    LIFTED,
    MODERATOR,
    REVERSED,
    SPAM,
    UPHELD,
    ban,
    banned,
    brake,
    brake_lapsed,
    braked,
    confirm,
    confirmed,
    contact_seen,
    decide_report,
    decided,
    given,
    hour,
    reinstate,
    reinstated,
    reported,
    suspend,
    suspended,
    suspension_lapsed,
    warn,
    warned,
)

WEEK = 7 * DAY
PROVISIONAL = (contact_seen("t1"), *reported("r1", DANGER), at(START, suspended(24, "r1")))
TEN_YEARS = 3_650 * DAY


@pytest.mark.rule("MO1.c")
@pytest.mark.parametrize("finding", [UPHELD, DISMISSED, BAD_FAITH])
def test_a_decision_about_a_report_is_a_fact_and_a_later_one_replaces_it(finding: int) -> None:
    story = given(*reported("r1", SPAM))
    story.when(decide_report("r1", finding)).then(decided("r1", finding))
    replaced = given(*reported("r1", SPAM), decided("r1", DISMISSED), at(hour(5), decided("r1", finding, by="m2")))
    known = replaced.state.reports["r1"]
    assert (known.finding, known.decided_at, known.moderator_id) == (finding, hour(5), "m2")


def test_a_report_nobody_made_about_this_client_cannot_be_decided() -> None:
    given(*reported("r1", SPAM)).when(decide_report("r2", UPHELD)).refused("REPORT_UNKNOWN", "report_id")


@pytest.mark.rule("MO4")
@pytest.mark.parametrize("finding", [UPHELD, DISMISSED, BAD_FAITH])
def test_a_decision_about_its_report_neither_ends_a_suspension_nor_confirms_it(finding: int) -> None:
    decision = given(*PROVISIONAL).when(decide_report("r1", finding, at=2)).then(decided("r1", finding))
    assert not decision.timers
    assert not decision.cancelled_timers
    after = given(*PROVISIONAL, decided("r1", finding)).state
    assert [after.at(hour(h)) for h in (2, 24, 24 + WEEK)] == ["SUSPENDED", "BRAKED", "GOOD"]


@pytest.mark.rule("MO3.d")
@pytest.mark.parametrize("involved", [CLIENT, "t1", "t2"])
def test_who_is_reported_or_reported_decides_nothing_in_the_case(involved: str) -> None:
    case = (*PROVISIONAL, *reported("r2", SPAM, "t2"), decided("r2", DISMISSED, "t2"))
    for command in (
        decide_report("r1", UPHELD, by=involved),
        decide_report("r2", BAD_FAITH, by=involved),
        warn(by=involved),
        brake(by=involved),
        suspend(by=involved),
        confirm(by=involved),
        reinstate(LIFTED, by=involved),
        reinstate(REVERSED, by=involved),
        ban(by=involved),
    ):
        given(*case).when(command).refused("MODERATOR_INVOLVED", "moderator_id")


@pytest.mark.rule("MO4")
def test_a_warning_changes_no_standing() -> None:
    given().when(warn()).then(warned())
    standing = given(warned(), warned()).state
    assert (standing.at(START), standing.since(START), standing.warnings) == ("GOOD", None, 2)


@pytest.mark.rule("MO4")
def test_a_moderator_brakes_for_a_time_or_as_long_as_the_policy_does() -> None:
    given().when(brake()).then(braked(1 + WEEK, by=MODERATOR))
    decision = given().when(brake(until=30)).then(braked(30, by=MODERATOR))
    assert list(decision.timers) == [Timer("measure-ends", hour(30))]
    reported_twice = (*reported("r1", SPAM), *reported("r2", SPAM, "t2"))
    given(*reported_twice, braked(WEEK, "r1", "r2")).when(brake(until=30)).then(
        braked(30, "r1", "r2", by=MODERATOR)
    )  # fmt: skip


@pytest.mark.rule("MO4")
def test_a_suspended_client_is_not_braked_instead() -> None:
    given(*PROVISIONAL).when(brake()).refused("CLIENT_SUSPENDED", "client_id")


@pytest.mark.rule("MO4")
def test_a_moderator_suspends_for_a_time_or_without_an_end() -> None:
    decision = given().when(suspend(until=100)).then(suspended(100, by=MODERATOR))
    assert list(decision.timers) == [Timer("measure-ends", hour(100))]
    assert not given().when(suspend()).then(suspended(None, by=MODERATOR)).timers


@pytest.mark.rule("MO4")
def test_a_moderators_suspension_replaces_the_one_there_is_and_its_timer() -> None:
    shorter = given(*PROVISIONAL).when(suspend(until=10, at=2)).then(suspended(10, "r1", by=MODERATOR))
    assert list(shorter.timers) == [Timer("measure-ends", hour(10))]
    endless = given(*PROVISIONAL).when(suspend(at=2)).then(suspended(None, "r1", by=MODERATOR))
    assert list(endless.cancelled_timers) == ["measure-ends"]
    given(*PROVISIONAL, suspended(10, by=MODERATOR)).when(confirm()).refused("NOT_PROVISIONAL", "client_id")


@pytest.mark.rule("MO4")
def test_only_a_person_confirms_a_suspension_and_then_it_does_not_lapse_in_a_day() -> None:
    decision = given(*PROVISIONAL).when(confirm(at=2)).then(confirmed(None, "r1"))
    assert list(decision.cancelled_timers) == ["measure-ends"]
    assert given(*PROVISIONAL, confirmed()).state.at(hour(1_000)) == "SUSPENDED"
    timed = given(*PROVISIONAL).when(confirm(until=400, at=2)).then(confirmed(400, "r1"))
    assert list(timed.timers) == [Timer("measure-ends", hour(400))]
    assert given(*PROVISIONAL, confirmed(400)).state.at(hour(400)) == "BRAKED"


@pytest.mark.rule("MO4")
def test_there_is_nothing_to_confirm_without_a_provisional_suspension_in_force() -> None:
    given().when(confirm()).refused("NOT_PROVISIONAL", "client_id")
    given(*PROVISIONAL, confirmed()).when(confirm()).refused("NOT_PROVISIONAL", "client_id")
    given(*PROVISIONAL).when(confirm(at=24)).refused("NOT_PROVISIONAL", "client_id")  # It lapsed this instant.
    given(*PROVISIONAL, reinstated()).when(confirm(at=2)).refused("NOT_PROVISIONAL", "client_id")
    given(*PROVISIONAL, banned()).when(confirm(at=2)).refused("NOT_PROVISIONAL", "client_id")


@pytest.mark.rule("MO4")
@pytest.mark.parametrize("measure", [brake, suspend])
def test_an_end_is_ahead_and_at_most_ten_years(measure) -> None:  # noqa: ANN001 - one of two words
    for until in (0, 1, 1 + TEN_YEARS + 0.001):
        given().when(measure(until=until, at=1)).refused("END_OUT_OF_RANGE", "until")
    assert given().when(measure(until=1 + TEN_YEARS, at=1)).decision().facts
    given(*PROVISIONAL).when(confirm(until=2, at=2)).refused("END_OUT_OF_RANGE", "until")


@pytest.mark.rule("MO4.b")
@pytest.mark.parametrize("kind", [LIFTED, REVERSED])
def test_a_reinstatement_gives_the_standing_back_from_every_measure(kind: int) -> None:
    for measures in (PROVISIONAL, (*PROVISIONAL, confirmed()), (braked(WEEK, by=MODERATOR),), (banned(),)):
        rest = ["r1"] if PROVISIONAL[0] in measures else []
        given(*measures).when(reinstate(kind)).then(reinstated(kind, *rest))
        assert given(*measures, reinstated(kind)).state.at(hour(1)) == "GOOD"
    assert list(given(*PROVISIONAL).when(reinstate()).decision().cancelled_timers) == ["measure-ends"]


@pytest.mark.rule("MO4")
def test_a_measure_that_ended_by_time_is_reversed_too_since_what_it_withheld_comes_back() -> None:
    given(*PROVISIONAL).when(reinstate(REVERSED, at=30)).then(
        suspension_lapsed(24 + WEEK), reinstated(REVERSED, "r1")
    )  # fmt: skip
    gone = (*PROVISIONAL, at(hour(24), suspension_lapsed(24 + WEEK)), at(hour(24 + WEEK), brake_lapsed()))
    given(*gone).when(reinstate(REVERSED, at=500)).then(reinstated(REVERSED, "r1"))


@pytest.mark.rule("MO4")
def test_there_is_nothing_to_reinstate_before_a_measure_or_twice() -> None:
    given(warned(), *reported("r1", SPAM)).when(reinstate()).refused("NOTHING_TO_REINSTATE", "client_id")
    given(*PROVISIONAL, reinstated()).when(reinstate(REVERSED)).refused("NOTHING_TO_REINSTATE", "client_id")
    given(*PROVISIONAL, reinstated(), banned()).when(reinstate()).then(reinstated(LIFTED, "r1"))


@pytest.mark.rule("MO4")
def test_a_ban_has_no_end_and_nothing_but_a_reinstatement_changes_it() -> None:
    decision = given(*PROVISIONAL).when(ban(at=2)).then(banned("r1"))
    assert list(decision.cancelled_timers) == ["measure-ends"]
    assert given(banned()).state.at(hour(1_000_000)) == "BANNED"
    for command in (brake(), suspend(), ban()):
        given(banned()).when(command).refused("CLIENT_BANNED", "client_id")


REVIEWED = (*PROVISIONAL, *reported("r2", SPAM, "t2"), *reported("r3", SPAM, "t3"), decided("r3", DISMISSED, "t3"))


@pytest.mark.rule("MO4.k")
def test_a_persons_measure_names_the_reports_that_were_open_when_they_decided() -> None:
    upheld = (*REVIEWED, decided("r2", UPHELD, "t2"))
    given(*upheld).when(warn()).then(warned("r1", "r2"))
    given(*upheld).when(suspend(until=50)).then(suspended(50, "r1", "r2", by=MODERATOR))
    given(*upheld).when(ban()).then(banned("r1", "r2"))
    braked_by_policy = (*REVIEWED[:1], *REVIEWED[4:])
    given(*braked_by_policy).when(brake(until=50)).then(braked(50, "r2", by=MODERATOR))


@pytest.mark.rule("MO4.k")
def test_what_confirms_or_ends_a_measure_names_its_reports_as_well_whatever_was_found_about_them() -> None:
    found = (*REVIEWED, decided("r1", BAD_FAITH))
    given(*found).when(confirm()).then(confirmed(None, "r1", "r2"))
    given(*found).when(reinstate(REVERSED)).then(reinstated(REVERSED, "r1", "r2"))
    given(*found).when(ban()).then(banned("r2"))
    given(*found, reinstated(REVERSED, "r1", "r2"), banned("r2")).when(reinstate()).then(reinstated(LIFTED, "r2"))
