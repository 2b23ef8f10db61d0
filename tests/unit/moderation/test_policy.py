"""Every number of the policy decides something: the same story under another number has another end."""

from dataclasses import fields, replace
from datetime import timedelta
from typing import Any

import pytest

from holdspace.moderation.v1.events_pb2 import ClientBraked, ClientSuspended
from kernel.errors import Rejected
from kernel.facts import instant
from services.moderation.domain.client_standing import ClientStanding
from services.moderation.domain.policy import DEFAULT, Policy, Threshold
from services.moderation.domain.reporter import AskToSuspend, Reporter, ask_to_suspend
from tests.unit.moderation.words import (
    DANGER,
    ENROLLED,
    HARASSMENT,
    SPAM,
    UPHELD,
    brake,
    contact_seen,
    decided,
    given,
    hour,
    report,
    reported,
)

CONTACTS = (contact_seen("t1"), contact_seen("t2"))
ONE_SPAM, ONE_HARASSED = reported("r1", SPAM, "t1"), reported("r1", HARASSMENT, "t1")
ONE_UPHELD = (*ONE_SPAM, decided("r1", UPHELD, "t1"))
FIRST_SPAM, SECOND_SPAM = report("r1", SPAM, "t1"), report("r2", SPAM, "t2")
FIRST_HARASSED, SECOND_HARASSED = report("r1", HARASSMENT, "t1"), report("r2", HARASSMENT, "t2")
FIRST_DANGER, THIRD_BY_ONE = report("r1", DANGER, "t1"), report("r3", SPAM, "t1")
ONCE_IN_BAD_FAITH = (ENROLLED, ClientStanding(), Reporter(frozenset("x")))

NONE, A_WEEK, A_DAY = "no measure", "braked for 168 h", "suspended for 24 h"

# A number, what it is changed to, the facts before, the command, its end by default and by the other number.
OTHER: list[tuple[str, Any, tuple[Any, ...], Any, str, str]] = [
    ("weights", {SPAM: 0, HARASSMENT: 2, DANGER: 4}, ONE_SPAM, SECOND_SPAM, A_WEEK, NONE),
    ("brake", Threshold(1_000, reporters=1), (), FIRST_SPAM, NONE, A_WEEK),
    ("suspension", Threshold(4_000, reporters=2), ONE_HARASSED, SECOND_HARASSED, A_WEEK, A_DAY),
    ("suspends_at_once", HARASSMENT, (), FIRST_HARASSED, NONE, A_DAY),
    ("review", timedelta(hours=3), (), FIRST_DANGER, A_DAY, "suspended for 3 h"),
    ("brake_term", timedelta(hours=5), ONE_SPAM, SECOND_SPAM, A_WEEK, "braked for 5 h"),
    ("reliability", 999, ONE_SPAM, SECOND_SPAM, A_WEEK, NONE),
    ("reliability_lost", 0, ONE_SPAM, (SECOND_SPAM, *ONCE_IN_BAD_FAITH), NONE, A_WEEK),
    ("open_reports_max", 1, ONE_SPAM, THIRD_BY_ONE, NONE, "OPEN_REPORTS_TOO_MANY"),
    ("upheld_weighs", timedelta(minutes=30), ONE_UPHELD, SECOND_SPAM, A_WEEK, NONE),
    ("term_max", timedelta(hours=1), (), brake(until=3), "braked for 2 h", "END_OUT_OF_RANGE"),
]


def end(policy: Policy, before: tuple[Any, ...], command: Any) -> str:
    """Returns what a command, perhaps with what it reads, comes to: a reason, or the measure with its term."""
    asked, *read = command if isinstance(command, tuple) else (command,)
    try:
        facts = given(*CONTACTS, *before).when(replace(asked, policy=policy), *read).decision().facts
    except Rejected as refused:
        return refused.reason
    for fact in facts:
        if isinstance(fact, ClientBraked | ClientSuspended):
            assert fact.policy_version == policy.version
            hours = (instant(fact.standing[0].until) - asked.now) / timedelta(hours=1)
            return f"{'braked' if isinstance(fact, ClientBraked) else 'suspended'} for {hours:.0f} h"
    return NONE


NUMBERS = [number for number, *_ in OTHER]


@pytest.mark.rule("MO4")
@pytest.mark.parametrize(("number", "other", "before", "command", "by_default", "then"), OTHER, ids=NUMBERS)
def test_under_another_number_the_same_story_has_another_end(
    number: str, other: Any, before: tuple[Any, ...], command: Any, by_default: str, then: str
) -> None:
    assert end(DEFAULT, before, command) == by_default
    assert end(replace(DEFAULT, version="other-1", **{number: other}), before, command) == then


@pytest.mark.rule("MO6")
def test_how_many_people_a_reporter_suspends_and_within_what_time_are_numbers_too() -> None:
    reporter = Reporter(suspends={f"p{n}": hour(0) for n in range(5)})
    for numbers, allowed in (
        ({}, False),
        ({"people_suspended_max": 6}, True),
        ({"people_suspended_within": timedelta(hours=1)}, True),
    ):
        policy = replace(DEFAULT, **numbers)  # type: ignore[arg-type]
        assert bool(ask_to_suspend(AskToSuspend("t1", "c", policy, hour(1)), reporter).facts) is allowed


def test_no_number_of_the_policy_is_left_out_here() -> None:
    tried = {*NUMBERS} | {"version", "people_suspended_max", "people_suspended_within"}
    assert tried == {field.name for field in fields(Policy)}
