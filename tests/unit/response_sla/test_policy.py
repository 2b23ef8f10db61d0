"""Targets are data with a version: what was under one stays under it, and another is tried on the same past."""

from dataclasses import replace
from datetime import timedelta
from typing import cast

import pytest

from holdspace.response_sla.v1 import private_pb2 as facts
from kernel.errors import Rejected
from services.response_sla.domain.figures import figures
from services.response_sla.domain.policy import Policies, Policy, only
from services.response_sla.domain.response_policy import SetResponsePolicy, decide, evolve
from services.response_sla.domain.wait import WaitState
from tests.unit.response_sla.story import (
    FIRST,
    client_writes,
    excluded,
    given,
    hour,
    reported,
    therapist_writes,
    voided,
)

SHORT = Policy("short", timedelta(hours=1), timedelta(hours=2), timedelta(days=1), 3, in_force_from=hour(50))
DATED = Policies().also(SHORT)


def set_policy(policy: Policy, policies: Policies, at: float) -> Policies:
    for fact in decide(SetResponsePolicy("operator", policy, hour(at)), policies).facts:
        policies = evolve(policies, cast("facts.ResponsePolicySet", fact), hour(at))
    return policies


@pytest.mark.rule("SL5")
def test_a_wait_is_held_to_the_targets_that_were_in_force_when_it_opened() -> None:
    story = given(client_writes(0), therapist_writes(20), client_writes(49), therapist_writes(60)).when(
        client_writes(61), therapist_writes(64)
    )
    waits = story.under(DATED).waits
    assert [wait.policy_version for wait in waits] == ["default", "default", "short"]
    found = figures(waits, hour(0), hour(100), hour(100), DATED)
    assert (found.all.closed, found.all.closed_within) == (3, 2)
    assert found.policy_versions == ("default", "short")


@pytest.mark.rule("SL5")
def test_what_was_before_a_policy_is_the_same_with_it_and_without() -> None:
    story = given(client_writes(0), therapist_writes(20), client_writes(40))
    with_it, without = story.under(DATED).waits, story.waits
    assert with_it == without
    found = (
        figures(waits, hour(0), hour(49), hour(49), each) for waits, each in ((with_it, DATED), (without, Policies()))
    )
    assert len(set(map(repr, found))) == 1


@pytest.mark.rule("SL4")
def test_a_report_is_judged_by_the_policy_in_force_when_it_is_made() -> None:
    given(client_writes(48)).when(reported(49.5)).under(DATED).then(excluded(FIRST, 48, final=False))
    given(client_writes(48)).when(reported(50)).under(DATED).then(voided(FIRST, 48, 50, by="r1"))


@pytest.mark.rule("SL9")
def test_the_least_sample_is_that_of_the_policy_in_force_at_the_instant_asked_for() -> None:
    waits = given(*(step for n in range(3) for step in (client_writes(2 * n), therapist_writes(2 * n + 1)))).waits
    ranked = [figures(waits, hour(0), hour(9), hour(as_of), DATED).all.is_ranked for as_of in (49, 50)]
    assert ranked == [False, True]


@pytest.mark.rule("SL13")
def test_under_another_policy_targets_and_exclusions_are_those_of_that_policy() -> None:
    story = given(client_writes(0), reported(3), therapist_writes(4), client_writes(5), therapist_writes(8))
    recorded, under = story.waits, story.under(only(SHORT)).waits
    assert [wait.state for wait in recorded] == [WaitState.EXCLUDED] * 2
    assert [wait.state for wait in under] == [WaitState.VOIDED, WaitState.ANSWERED]
    found = figures(under, hour(0), hour(9), hour(9), only(SHORT))
    assert (found.next.closed, found.next.closed_within) == (1, 0)
    assert story.waits == recorded


def test_of_several_policies_the_last_to_begin_is_in_force_however_they_were_set() -> None:
    later, sooner = Policy("later", in_force_from=hour(20)), Policy("sooner", in_force_from=hour(10))
    again = Policy("again", in_force_from=hour(20))
    policies = set_policy(again, set_policy(sooner, set_policy(later, Policies(), 0), 1), 2)
    assert [policies.at(hour(at)).version for at in (9, 10, 20)] == ["default", "sooner", "again"]


@pytest.mark.rule("SL5")
def test_a_policy_is_kept_as_it_was_set_with_who_set_it() -> None:
    policy = Policy(
        "other", timedelta(hours=3), timedelta(hours=5), timedelta(days=2), 7, timedelta(days=4), in_force_from=hour(60)
    )
    [fact] = decide(SetResponsePolicy("operator", policy, hour(1)), Policies()).facts
    kept = cast("facts.ResponsePolicySet", fact)
    assert kept.operator_id == "operator"
    assert kept.policy.first_response_target_seconds == 3 * 3_600
    assert evolve(Policies(), kept, hour(1)).of("other") == policy


@pytest.mark.rule("SL5")
def test_a_version_is_set_once_and_a_minute_ahead_at_the_least() -> None:
    def refused(policy: Policy) -> tuple[str, str]:
        with pytest.raises(Rejected) as caught:
            decide(SetResponsePolicy("operator", policy, hour(49)), DATED)
        return caught.value.reason, caught.value.field

    assert refused(replace(SHORT, in_force_from=hour(70))) == ("POLICY_VERSION_TAKEN", "policy.policy_version")
    soon = hour(49) + timedelta(seconds=59)
    assert refused(replace(SHORT, version="soon", in_force_from=soon)) == ("POLICY_TOO_SOON", "policy.in_force_from")
    in_time = replace(SHORT, version="in-time", in_force_from=hour(49) + timedelta(minutes=1))
    assert set_policy(in_time, DATED, 49).of("in-time") == in_time
