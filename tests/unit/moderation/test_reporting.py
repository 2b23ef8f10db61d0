"""What reports and first contacts lead to under the default policy."""

import pytest

from kernel.gates import Gate, Span, spans_of
from kernel.store.interface import Timer
from services.moderation.domain.client_standing import ClientStanding
from services.moderation.domain.policy import DEFAULT
from services.moderation.domain.reporter import Reporter
from services.moderation.domain.reporting import report_id
from tests.sentences import START, at
from tests.unit.moderation.words import (
    BAD_FAITH,
    CLIENT,
    DANGER,
    DAY,
    DISMISSED,
    ENROLLED,
    HARASSMENT,
    MODERATOR,
    SPAM,
    UPHELD,
    banned,
    braked,
    confirmed,
    contact,
    contact_seen,
    decided,
    given,
    hour,
    report,
    reported,
    suspended,
    suspended_phases,
    suspension_lapsed,
    take_stock,
)

WEEK = 7 * DAY
TWO_WROTE_SPAM = (contact_seen("t1"), contact_seen("t2"), *reported("r1", SPAM, "t1"), *reported("r2", SPAM, "t2"))


@pytest.mark.rule("MO1")
def test_a_report_is_a_fact_and_one_of_spam_alone_leads_to_nothing() -> None:
    given(contact_seen("t1")).when(report("r1", SPAM)).then(*reported("r1", SPAM))


@pytest.mark.rule("MO4.h", "MO5")
def test_a_dangerous_client_is_suspended_on_the_first_report() -> None:
    decision = given(contact_seen("t1")).when(report("r1", DANGER)).then(*reported("r1", DANGER), suspended(25, "r1"))
    assert list(decision.timers) == [Timer("measure-ends", hour(25))]


@pytest.mark.rule("MO1")
def test_a_retried_report_is_still_one_report() -> None:
    story = given(contact_seen("t1"), *reported("r1", SPAM))
    story.when(report("r1", SPAM, at=9)).then()
    story.when(report("r1", SPAM, at=9), Gate(), ClientStanding(), Reporter()).then()
    story.when(report("r1", DANGER, at=9)).refused("REQUEST_REUSED", "request_id")


@pytest.mark.rule("PL9.a")
def test_a_report_names_the_last_message_its_reporter_knows_of() -> None:
    reported_after, weighed = reported("r1", SPAM)
    reported_after.conversation_id, reported_after.last_message_sequence = "c1", 7
    given().when(report("r1", SPAM, last_message=("c1", 7))).then(reported_after, weighed)
    story = given(reported_after, weighed)
    story.when(report("r1", SPAM, last_message=("c1", 7), at=9)).then()
    for other in (("c1", 8), ("c2", 7), ("", 0)):
        story.when(report("r1", SPAM, last_message=other, at=9)).refused("REQUEST_REUSED", "request_id")


@pytest.mark.rule("MO1")
def test_a_reports_id_is_made_of_who_reports_whom_under_which_request() -> None:
    first = ("t1", "c1", "q1")
    others = [("t2", "c1", "q1"), ("t1", "c2", "q1"), ("t1", "c1", "q2")]
    assert report_id(*first) == report_id(*first)
    assert report_id(*first) not in {report_id(*other) for other in others}


@pytest.mark.rule("PL8")
def test_nobody_but_an_enrolled_therapist_reports_and_nobody_themselves() -> None:
    unknown = (Gate(), ClientStanding(), Reporter())
    given().when(report("r1", DANGER), *unknown).refused("REPORTER_UNKNOWN", "reporter_id")
    given().when(report("r1", DANGER, by=CLIENT)).refused("REPORT_OF_ONESELF", "reporter_id")


@pytest.mark.rule("PL8")
def test_copies_that_are_too_old_call_nobody_unknown_and_keep_no_enrolled_therapist_from_reporting() -> None:
    given().when(report("r1", SPAM), stale(Gate()), ClientStanding(), Reporter()).refused("GATE_STALE")
    enrolled = (stale(ENROLLED), ClientStanding(), Reporter())
    given().when(report("r1", SPAM), *enrolled).then(*reported("r1", SPAM))


@pytest.mark.rule("PL8")
def test_while_a_fact_about_a_therapist_is_parked_it_is_not_known_whether_they_may_report() -> None:
    for gate in (Gate(), ENROLLED):
        read = (gate.seen(is_fresh=True, is_parked=True), ClientStanding(), Reporter())
        given().when(report("r1", SPAM), *read).refused("GATE_PARKED")


def stale(gate: Gate) -> Gate:
    return gate.seen(is_fresh=False, is_parked=False)


@pytest.mark.rule("MO4.h", "MO10")
def test_two_reporters_brake_by_spam_and_one_alone_does_not_whatever_they_repeat() -> None:
    seen = (contact_seen("t1"), contact_seen("t2"))
    once = given(*seen, *reported("r1", SPAM, "t1"))
    once.when(report("r2", HARASSMENT, "t1")).then(*reported("r2", HARASSMENT, "t1"))
    decision = once.when(report("r2", SPAM, "t2")).then(*reported("r2", SPAM, "t2"), braked(1 + WEEK, "r1", "r2"))
    assert list(decision.timers) == [Timer("measure-ends", hour(1 + WEEK))]


@pytest.mark.rule("MO4.h", "MO10")
def test_three_reporters_suspend_at_a_score_of_four_and_not_below() -> None:
    story = given(*TWO_WROTE_SPAM, contact_seen("t3"), at(hour(0.5), braked(WEEK, "r1", "r2")))
    story.when(report("r3", SPAM, "t3")).then(*reported("r3", SPAM, "t3"))
    story.when(report("r3", HARASSMENT, "t3")).then(
        *reported("r3", HARASSMENT, "t3"), suspended(25, "r1", "r2", "r3")
    )  # fmt: skip


@pytest.mark.rule("MO10")
def test_two_reporters_never_suspend_by_score() -> None:
    seen = (contact_seen("t1"), contact_seen("t2"))
    story = given(*seen, *reported("r1", HARASSMENT, "t1"))
    story.when(report("r2", HARASSMENT, "t2")).then(*reported("r2", HARASSMENT, "t2"), braked(1 + WEEK, "r1", "r2"))


@pytest.mark.rule("MO10.d")
@pytest.mark.parametrize(
    ("severities", "suspends"),
    [((SPAM,) * 3, False), ((SPAM,) * 4, True), ((SPAM, SPAM, HARASSMENT), True), ((HARASSMENT,) * 2, False)],
)
def test_how_many_liars_it_takes_to_suspend_an_innocent_client(severities: tuple[int, ...], suspends: bool) -> None:
    *before, (last, severity) = list(enumerate(severities))
    seen = [contact_seen(f"t{n}") for n in range(len(severities))]
    told = [fact for n, severity in before for fact in reported(f"r{n}", severity, f"t{n}")]
    decision = given(*seen, *told).when(report(f"r{last}", severity, f"t{last}")).decision()
    assert any(type(fact) is type(suspended(1)) for fact in decision.facts) is suspends


@pytest.mark.rule("MO10")
def test_a_reporter_has_one_vote_by_their_gravest_report() -> None:
    twice = (contact_seen("t1"), *reported("r1", SPAM, "t1"), *reported("r2", HARASSMENT, "t1"), contact_seen("t2"))
    decision = given(*twice, contact_seen("t3"), *reported("r3", SPAM, "t2")).when(report("r4", SPAM, "t3")).decision()
    assert suspended(25, "r1", "r2", "r3", "r4") in decision.facts  # 2 + 1 + 1


@pytest.mark.rule("MO10.a")
def test_a_report_counts_as_far_as_its_reporter_was_relied_on_when_it_was_made() -> None:
    half = (ENROLLED, ClientStanding(), Reporter(frozenset({"lie"})))
    seen = (contact_seen("t1"), contact_seen("t2"), *reported("r1", SPAM, "t1"))
    weak = reported("r2", SPAM, "t2", reliability=500)
    given(*seen).when(report("r2", SPAM, "t2"), *half).then(*weak)  # 1.5 is below 2
    given(*seen, *weak).when(report("r3", HARASSMENT, "t2"), *half).then(
        *reported("r3", HARASSMENT, "t2", reliability=500), braked(1 + WEEK, "r1", "r2", "r3")
    )  # 1 + 2 * 0.5


@pytest.mark.rule("MO10")
def test_who_is_not_relied_on_at_all_has_no_vote_and_moves_nothing() -> None:
    liar = (ENROLLED, ClientStanding(), Reporter(frozenset({"lie", "another"})))
    given(*TWO_WROTE_SPAM, contact_seen("t3")).when(report("r3", SPAM, "t3"), *liar).then(
        *reported("r3", SPAM, "t3", reliability=0)
    )
    given(contact_seen("t1")).when(report("r1", DANGER), *liar).then(*reported("r1", DANGER, reliability=0))


@pytest.mark.rule("MO4")
@pytest.mark.parametrize("state", ["SUSPENDED", "BANNED"])
def test_a_suspended_or_banned_reporter_has_a_vote_but_suspends_nobody_at_once(state: str) -> None:
    as_client = ClientStanding(phases=(Span(state),))
    alone = reported("r1", DANGER, in_good_standing=False)
    given(contact_seen("t1")).when(report("r1", DANGER), ENROLLED, as_client, Reporter()).then(*alone)
    given(contact_seen("t1"), *alone, contact_seen("t2")).when(report("r2", SPAM, "t2")).then(
        *reported("r2", SPAM, "t2"), braked(1 + WEEK, "r1", "r2")
    )


@pytest.mark.rule("MO4")
def test_a_reporter_whose_suspension_is_over_by_time_is_in_good_standing_again() -> None:
    as_client = ClientStanding(phases=spans_of(suspended_phases(1)))
    decision = given(contact_seen("t1")).when(report("r1", DANGER, at=1), ENROLLED, as_client, Reporter()).decision()
    assert suspended(25, "r1") in decision.facts


@pytest.mark.rule("MO1")
def test_a_report_of_somebody_the_client_never_wrote_to_is_recorded_and_scores_nothing() -> None:
    given().when(report("r1", DANGER)).then(*reported("r1", DANGER))
    given(*TWO_WROTE_SPAM).when(report("r3", DANGER, "t3")).then(*reported("r3", DANGER, "t3"))


@pytest.mark.rule("MO1")
def test_a_report_scores_when_it_is_seen_that_the_client_wrote_to_its_reporter() -> None:
    waiting = reported("r1", DANGER)
    decision = given(*waiting).when(contact("t1", at=3)).then(contact_seen("t1"))
    assert list(decision.timers) == [Timer("reports-score", hour(3))]
    given(*waiting, contact_seen("t1")).when(take_stock(at=3)).then(suspended(27, "r1"))
    given(*TWO_WROTE_SPAM).when(take_stock(at=3)).then(braked(3 + WEEK, "r1", "r2"))


def test_a_contact_with_a_therapist_who_reported_nothing_is_noted_once_and_leads_to_nothing() -> None:
    assert not given(*reported("r1", DANGER, "t1")).when(contact("t2")).then(contact_seen("t2")).timers
    assert not given(contact_seen("t1"), *reported("r1", SPAM)).when(contact("t1", at=9)).then().timers


@pytest.mark.rule("MO10")
@pytest.mark.parametrize("finding", [DISMISSED, BAD_FAITH])
def test_a_report_found_to_be_wrong_scores_nothing_before_and_after_its_contact(finding: int) -> None:
    given(contact_seen("t1"), contact_seen("t2"), *reported("r1", SPAM), decided("r1", finding)).when(
        report("r2", SPAM, "t2")
    ).then(*reported("r2", SPAM, "t2"))
    given(*reported("r1", DANGER), decided("r1", finding), contact_seen("t1")).when(take_stock()).then()


@pytest.mark.rule("MO4")
def test_a_report_that_a_person_decided_about_has_its_vote_and_suspends_nobody_at_once() -> None:
    upheld = (*reported("r1", DANGER), decided("r1", UPHELD), contact_seen("t1"))
    given(*upheld).when(take_stock()).then()
    given(*upheld, contact_seen("t2")).when(report("r2", SPAM, "t2")).then(
        *reported("r2", SPAM, "t2"), braked(1 + WEEK, "r1", "r2")
    )


@pytest.mark.rule("MO4")
def test_a_report_about_a_suspended_or_banned_client_is_recorded_and_prolongs_nothing() -> None:
    seen = (contact_seen("t1"), contact_seen("t2"), *reported("r1", DANGER))
    for standing in (suspended(24, "r1"), confirmed(), banned(), suspended(500, by=MODERATOR)):
        decision = given(*seen, standing).when(report("r2", DANGER, "t2")).then(*reported("r2", DANGER, "t2"))
        assert not decision.timers
        assert not decision.cancelled_timers


@pytest.mark.rule("MO4")
def test_a_brake_is_not_prolonged_by_a_further_report() -> None:
    given(*TWO_WROTE_SPAM, braked(WEEK, "r1", "r2")).when(report("r3", SPAM, "t1")).then(*reported("r3", SPAM, "t1"))


LAPSED = (
    contact_seen("t1"),
    contact_seen("t2"),
    *reported("r1", DANGER),
    at(START, suspended(24, "r1")),
    at(hour(24), suspension_lapsed(24 + WEEK)),
)


@pytest.mark.rule("MO4")
def test_the_reports_of_a_lapsed_suspension_cannot_suspend_again_until_they_are_decided() -> None:
    seen = (*LAPSED, contact_seen("t3"), *reported("r2", SPAM, "t2"))
    given(*seen).when(report("r3", SPAM, "t3", at=30)).then(*reported("r3", SPAM, "t3"))
    given(*seen, decided("r1", UPHELD)).when(report("r3", SPAM, "t3", at=30)).then(
        *reported("r3", SPAM, "t3"), suspended(54, "r1", "r2", "r3")
    )


@pytest.mark.rule("MO4")
def test_a_dangerous_report_made_during_a_suspension_suspends_with_the_next_report_after_it() -> None:
    meanwhile = (*LAPSED[:4], at(START, suspended(24, "r1")), *reported("r2", DANGER, "t2"))
    lapsed = given(*meanwhile, at(hour(24), suspension_lapsed(24 + WEEK)))
    lapsed.when(report("r3", SPAM, "t1", at=30)).then(*reported("r3", SPAM, "t1"), suspended(54, "r2"))


@pytest.mark.rule("MO4")
def test_a_report_decided_during_the_review_is_not_held_back_when_the_suspension_lapses() -> None:
    seen = (contact_seen("t1"), contact_seen("t2"), contact_seen("t3"), *reported("r1", DANGER))
    lapsed = (at(START, suspended(24, "r1")), decided("r1", UPHELD), at(hour(24), suspension_lapsed(24 + WEEK)))
    given(*seen, *lapsed, *reported("r2", SPAM, "t2")).when(report("r3", SPAM, "t3", at=30)).then(
        *reported("r3", SPAM, "t3"), suspended(54, "r1", "r2", "r3")
    )


@pytest.mark.rule("MO4")
def test_a_new_dangerous_report_after_a_lapse_suspends_even_by_the_same_reporter() -> None:
    given(*LAPSED).when(report("r2", DANGER, "t1", at=30)).then(*reported("r2", DANGER, "t1"), suspended(54, "r2"))


@pytest.mark.rule("MO4")
def test_an_end_by_time_is_recorded_before_the_report_that_comes_after_it() -> None:
    seen = (contact_seen("t1"), contact_seen("t2"), *reported("r1", DANGER), at(START, suspended(24, "r1")))
    decision = given(*seen).when(report("r2", SPAM, "t2", at=25)).then(
        suspension_lapsed(24 + WEEK), *reported("r2", SPAM, "t2")
    )  # fmt: skip
    assert list(decision.timers) == [Timer("measure-ends", hour(24 + WEEK))]


def test_a_reporter_has_a_bounded_number_of_undecided_reports_about_one_client() -> None:
    most = [fact for n in range(DEFAULT.open_reports_max) for fact in reported(f"r{n}", SPAM)]
    given(*most).when(report("more", SPAM)).refused("OPEN_REPORTS_TOO_MANY", "reporter_id")
    given(*most).when(report("more", SPAM, "t2")).then(*reported("more", SPAM, "t2"))
    given(*most, decided("r0", DISMISSED)).when(report("more", SPAM)).then(*reported("more", SPAM))


@pytest.mark.rule("MO4.l")
def test_reports_that_wait_never_keep_a_graver_one_out() -> None:
    spam = [fact for n in range(DEFAULT.open_reports_max) for fact in reported(f"s{n}", SPAM)]
    harassment = [fact for n in range(DEFAULT.open_reports_max) for fact in reported(f"h{n}", HARASSMENT)]
    given(contact_seen("t1"), *spam).when(report("more", DANGER)).then(
        *reported("more", DANGER), suspended(25, "more")
    )  # fmt: skip
    given(*spam).when(report("more", HARASSMENT)).then(*reported("more", HARASSMENT))
    given(*spam, *harassment).when(report("more", DANGER)).then(*reported("more", DANGER))
    for severity in (SPAM, HARASSMENT):
        given(*harassment).when(report("more", severity)).refused("OPEN_REPORTS_TOO_MANY", "reporter_id")
    mixed = (*harassment[2:], *spam[:2])
    given(*mixed).when(report("more", HARASSMENT)).then(*reported("more", HARASSMENT))
    given(*mixed).when(report("more", SPAM)).refused("OPEN_REPORTS_TOO_MANY", "reporter_id")
