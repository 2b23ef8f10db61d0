"""When a wait opens, what ends it, and what leaves the figures."""

import pytest

from holdspace.moderation.v1.events_pb2 import Finding
from tests.unit.response_sla.story import (
    BAD_FAITH,
    DISMISSED,
    FIRST,
    NEXT,
    OTHER_THERAPIST,
    UPHELD,
    answered,
    banned,
    braked,
    client_writes,
    decided,
    excluded,
    given,
    lifted,
    opened,
    reported,
    suspended,
    therapist_writes,
    voided,
)


@pytest.mark.rule("SL1")
def test_the_first_message_that_expects_a_reply_opens_the_first_wait_and_later_ones_do_not_restart_it() -> None:
    given(client_writes(0), client_writes(5)).then(opened(FIRST, 0))


@pytest.mark.rule("SL1")
def test_a_reply_ends_the_wait_and_the_next_message_of_the_client_opens_the_next() -> None:
    given(client_writes(0), therapist_writes(2), client_writes(3), therapist_writes(7)).then(
        answered(FIRST, 0, 2), answered(NEXT, 3, 7)
    )


def test_a_second_reply_in_a_row_ends_nothing() -> None:
    given(client_writes(0), therapist_writes(2), therapist_writes(3)).then(answered(FIRST, 0, 2))


@pytest.mark.rule("MS10.b")
def test_a_message_that_expects_no_reply_opens_no_wait() -> None:
    given(client_writes(0, expects_reply=False)).when(client_writes(4)).then(opened(FIRST, 4))


@pytest.mark.rule("MS10")
def test_what_the_client_declares_counts_whether_a_person_or_a_rule_sent_it() -> None:
    given(client_writes(0, automatic=True)).then(opened(FIRST, 0))


@pytest.mark.rule("SL2.a", "MS12.a", "MS7")
def test_an_automatic_reply_never_ends_a_wait() -> None:
    given(client_writes(0)).when(therapist_writes(1, automatic=True), therapist_writes(6)).then(answered(FIRST, 0, 6))


def test_messages_of_one_instant_count_in_the_order_of_their_conversation() -> None:
    given(client_writes(0), therapist_writes(0), client_writes(0)).then(answered(FIRST, 0, 0), opened(NEXT, 0))


@pytest.mark.rule("SL4")
def test_a_client_reported_straight_away_leaves_the_figures_provisionally() -> None:
    given(client_writes(0)).when(reported(3)).then(excluded(FIRST, 0, final=False))


@pytest.mark.rule("SL4")
@pytest.mark.parametrize("finding", [UPHELD, DISMISSED])
def test_a_decision_makes_the_exclusion_final_and_a_dismissal_does_not_bring_it_back(
    finding: Finding.ValueType,
) -> None:
    given(client_writes(0), reported(3)).when(decided(9, finding)).then(excluded(FIRST, 0, final=True))


@pytest.mark.rule("SL4.f")
def test_only_a_finding_of_bad_faith_brings_the_waits_back_as_what_they_were() -> None:
    story = given(client_writes(0), reported(3), therapist_writes(4), client_writes(5))
    story.then(excluded(FIRST, 0, final=False), excluded(NEXT, 5, final=False))
    story.when(decided(9, BAD_FAITH)).then(answered(FIRST, 0, 4), opened(NEXT, 5))


@pytest.mark.rule("SL4")
def test_an_appeal_that_replaces_the_finding_of_bad_faith_excludes_again() -> None:
    given(client_writes(0), reported(3), decided(9, BAD_FAITH)).when(decided(20, UPHELD)).then(
        excluded(FIRST, 0, final=True)
    )


@pytest.mark.rule("SL4")
def test_a_report_at_the_end_of_the_first_response_target_is_still_straight_away() -> None:
    given(client_writes(0)).when(reported(24)).then(excluded(FIRST, 0, final=False))


@pytest.mark.rule("SL4.g")
def test_a_report_past_the_first_response_target_voids_only_the_open_wait() -> None:
    given(client_writes(0)).when(reported(24.001), client_writes(30)).then(
        voided(FIRST, 0, 24.001, by="r1"), opened(NEXT, 30)
    )


@pytest.mark.rule("SL4")
def test_the_target_runs_from_the_first_message_even_when_that_expected_no_reply() -> None:
    given(client_writes(0, expects_reply=False), client_writes(20)).when(reported(25)).then(
        voided(FIRST, 20, 25, by="r1")
    )


@pytest.mark.rule("SL4")
def test_a_report_after_a_reply_voids_only_the_open_wait() -> None:
    given(client_writes(0), therapist_writes(1), client_writes(2)).when(reported(3)).then(
        answered(FIRST, 0, 1), voided(NEXT, 2, 3, by="r1")
    )


@pytest.mark.rule("SL4")
def test_an_automatic_reply_before_the_report_is_no_reply() -> None:
    given(client_writes(0), therapist_writes(1, automatic=True)).when(reported(3)).then(excluded(FIRST, 0, final=False))


@pytest.mark.rule("SL4")
def test_a_reply_after_the_report_does_not_undo_the_exclusion() -> None:
    given(client_writes(0), reported(3)).when(therapist_writes(4)).then(excluded(FIRST, 0, final=False))


@pytest.mark.rule("SL4")
def test_a_report_before_the_client_wrote_touches_no_wait() -> None:
    given(reported(0)).when(client_writes(1)).then(opened(FIRST, 1))


@pytest.mark.rule("SL4")
def test_a_message_of_the_instant_of_the_report_counts_as_before_it() -> None:
    given(reported(0), client_writes(0)).then(excluded(FIRST, 0, final=False))


@pytest.mark.rule("SL4")
def test_waits_opened_until_the_decision_are_excluded_and_those_opened_after_it_count() -> None:
    given(client_writes(0), reported(3), therapist_writes(4), client_writes(5), therapist_writes(6)).when(
        decided(9, DISMISSED), client_writes(10)
    ).then(excluded(FIRST, 0, final=True), excluded(NEXT, 5, final=True), opened(NEXT, 10))


@pytest.mark.rule("SL4")
def test_after_a_dismissal_the_next_message_opens_a_wait_though_the_excluded_one_was_never_answered() -> None:
    given(client_writes(0), reported(3), decided(9, DISMISSED)).when(client_writes(10), therapist_writes(12)).then(
        excluded(FIRST, 0, final=True), answered(NEXT, 10, 12)
    )


@pytest.mark.rule("SL4")
def test_before_the_decision_the_next_message_opens_no_other_wait() -> None:
    given(client_writes(0), reported(3)).when(client_writes(5)).then(excluded(FIRST, 0, final=False))


@pytest.mark.rule("SL4")
def test_a_report_undecided_for_seven_days_counts_as_dismissed_for_waits_opened_later() -> None:
    week = 3 + 7 * 24
    given(client_writes(0), reported(3)).when(client_writes(week)).then(excluded(FIRST, 0, final=False))
    given(client_writes(0), reported(3)).when(client_writes(week + 0.001)).then(
        excluded(FIRST, 0, final=False), opened(NEXT, week + 0.001)
    )


@pytest.mark.rule("SL4")
def test_a_decision_after_seven_days_does_not_take_back_what_counted_since() -> None:
    given(client_writes(0), reported(3), client_writes(200)).when(decided(210, UPHELD)).then(
        excluded(FIRST, 0, final=True), opened(NEXT, 200)
    )


@pytest.mark.rule("SL4")
def test_waits_opened_after_a_lift_count_and_the_lift_rewrites_nothing() -> None:
    given(client_writes(0), reported(3), suspended(3)).when(lifted(20), client_writes(21)).then(
        excluded(FIRST, 0, final=False), opened(NEXT, 21)
    )


@pytest.mark.rule("SL4")
def test_a_suspension_that_ends_by_time_is_no_lift() -> None:
    given(client_writes(0), reported(3), suspended(3, 27)).when(client_writes(30)).then(
        excluded(FIRST, 0, final=False), excluded(NEXT, 30, final=False)
    )


@pytest.mark.rule("SL4")
def test_the_report_of_another_therapist_touches_no_wait_here() -> None:
    given(client_writes(0)).when(reported(3, by=OTHER_THERAPIST), decided(9, UPHELD, by=OTHER_THERAPIST)).then(
        opened(FIRST, 0)
    )


@pytest.mark.rule("SL4")
def test_a_second_report_past_the_target_voids_the_wait_that_bad_faith_would_bring_back() -> None:
    given(client_writes(0), reported(3, "r1"), reported(30, "r2")).when(decided(40, BAD_FAITH, "r1")).then(
        voided(FIRST, 0, 30, by="r2")
    )


@pytest.mark.rule("SL4")
def test_of_two_straight_away_reports_the_other_still_excludes_when_one_was_in_bad_faith() -> None:
    story = given(client_writes(0), reported(3, "r1"), reported(4, "r2"))
    story.then(excluded(FIRST, 0, final=False, by="r1"))
    story.when(decided(5, BAD_FAITH, "r1")).then(excluded(FIRST, 0, final=False, by="r2"))


@pytest.mark.rule("SL4")
def test_of_two_straight_away_reports_the_undecided_one_still_excludes_when_the_other_is_dismissed() -> None:
    given(client_writes(0), reported(3, "r1"), reported(4, "r2"), decided(5, DISMISSED, "r2")).when(
        therapist_writes(6), client_writes(7)
    ).then(excluded(FIRST, 0, final=False, by="r1"), excluded(NEXT, 7, final=False, by="r1"))
    given(client_writes(0), reported(3, "r1"), reported(4, "r2"), decided(5, DISMISSED, "r2")).when(
        client_writes(7)
    ).then(excluded(FIRST, 0, final=False, by="r1"))


@pytest.mark.rule("SL4")
def test_a_message_of_the_instant_of_the_decision_counts_as_before_it() -> None:
    given(client_writes(0), reported(3), therapist_writes(4), decided(9, DISMISSED)).when(client_writes(9)).then(
        excluded(FIRST, 0, final=True), excluded(NEXT, 9, final=True)
    )


@pytest.mark.rule("SL4")
def test_a_late_report_in_bad_faith_does_not_get_rid_of_a_wait() -> None:
    given(client_writes(0), reported(30)).when(decided(40, BAD_FAITH)).then(opened(FIRST, 0))


@pytest.mark.rule("SL4", "MO5")
def test_a_suspension_voids_the_open_wait_with_a_therapist_who_never_reported() -> None:
    given(client_writes(0), therapist_writes(1), client_writes(2)).when(suspended(5)).then(
        answered(FIRST, 0, 1), voided(NEXT, 2, 5)
    )


@pytest.mark.rule("SL4")
def test_a_ban_voids_the_open_wait() -> None:
    given(client_writes(0)).when(banned(5)).then(voided(FIRST, 0, 5))


@pytest.mark.rule("SL4", "MO4")
def test_a_brake_voids_nothing_and_lets_messages_open_waits() -> None:
    given(client_writes(0)).when(braked(5), therapist_writes(6), client_writes(7)).then(
        answered(FIRST, 0, 6), opened(NEXT, 7)
    )


@pytest.mark.rule("SL4")
def test_while_suspended_a_message_opens_no_wait() -> None:
    given(client_writes(0), suspended(5)).when(client_writes(6)).then(voided(FIRST, 0, 5))


@pytest.mark.rule("SL4", "MO4")
def test_a_lift_reopens_nothing_and_the_next_message_opens_a_wait() -> None:
    story = given(client_writes(0), suspended(5), client_writes(6)).when(lifted(10))
    story.then(voided(FIRST, 0, 5))
    story.when(client_writes(11)).then(voided(FIRST, 0, 5), opened(NEXT, 11))


@pytest.mark.rule("SL4", "MO4")
def test_a_timed_suspension_ends_by_the_time_it_carries() -> None:
    story = given(client_writes(0), suspended(5, 29)).when(client_writes(28.999))
    story.then(voided(FIRST, 0, 5))
    story.when(client_writes(29)).then(voided(FIRST, 0, 5), opened(NEXT, 29))


@pytest.mark.rule("SL4")
def test_the_first_wait_keeps_its_name_when_it_is_voided() -> None:
    given(client_writes(0), suspended(5), lifted(10)).when(client_writes(11), therapist_writes(12)).then(
        voided(FIRST, 0, 5), answered(NEXT, 11, 12)
    )


@pytest.mark.rule("SL4")
def test_bad_faith_brings_the_wait_back_even_where_the_report_alone_had_the_client_suspended() -> None:
    given(client_writes(0), reported(3), suspended(3, 27, "r1")).when(decided(9, BAD_FAITH), lifted(9)).then(
        opened(FIRST, 0)
    )


@pytest.mark.rule("SL4.f")
def test_bad_faith_brings_the_wait_back_also_after_a_person_confirmed_or_banned_on_that_report() -> None:
    story = given(client_writes(0), reported(3), suspended(3, 27, "r1"))
    for measures in ([suspended(8, None, "r1")], [suspended(8, None, "r1"), banned(9, "r1")], [banned(9, "r1")]):
        story.when(*measures).then(excluded(FIRST, 0, final=False))
        story.when(*measures, decided(20, BAD_FAITH)).then(opened(FIRST, 0))
        story.when(*measures, decided(20, UPHELD)).then(excluded(FIRST, 0, final=True))


@pytest.mark.rule("SL4")
def test_a_suspension_with_other_grounds_voids_the_wait_that_bad_faith_brings_back() -> None:
    given(client_writes(0), reported(3), suspended(3, 27, "r1", "r2")).when(decided(9, BAD_FAITH)).then(
        voided(FIRST, 0, 3)
    )


@pytest.mark.rule("PL6")
def test_a_suspension_of_today_does_not_touch_the_waits_of_imported_history() -> None:
    given(suspended(1000)).when(client_writes(0), therapist_writes(2), client_writes(3), therapist_writes(9)).then(
        answered(FIRST, 0, 2), answered(NEXT, 3, 9)
    )
