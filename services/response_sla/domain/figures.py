"""Response figures: what a therapist's waits come to. Every number is an exact integer, made from the waits alone."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from fractions import Fraction

from holdspace.response_sla.v1.private_pb2 import RESPONSE_KIND_FIRST, RESPONSE_KIND_NEXT
from services.response_sla.domain.policy import Policies
from services.response_sla.domain.wait import NotOwed, Wait, WaitState

MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Group:
    """Counts of waits; `closed`, `open`, `voided`, `excluded` and `not_owed` sum to `opened`.

    `median_ms`, `p90_ms`: response times in whole milliseconds, nearest rank, None when nothing is closed.
    `closed_within`: closed within the target. `open_past`: open for longer than the target.
    """

    opened: int
    closed: int
    open: int
    voided: int
    excluded: int
    not_owed: int
    closed_within: int
    open_past: int
    median_ms: int | None
    p90_ms: int | None
    is_ranked: bool  # the sample is large enough to compare with others

    @property
    def share_within(self) -> Fraction | None:
        """Closed within target, of closed and open past target: waiting longer never helps. None when none are."""
        owed = self.closed + self.open_past
        return Fraction(self.closed_within, owed) if owed else None


@dataclass(frozen=True, slots=True)
class Figures:
    first: Group
    next: Group
    all: Group
    policy_versions: tuple[str, ...] = ()  # of the policies the waits were opened under


def figures(waits: Iterable[Wait], start: datetime, end: datetime, as_of: datetime, policies: Policies) -> Figures:
    """Returns the figures of the waits opened in [start, end), as they stood at an instant of the facts' own time.

    A wait opened after `as_of` is not there yet, one that ended after it is open. An exclusion holds whatever the
    instant: it leaves past windows too. Each wait is held to the targets of its own policy. What was known on a date is
    another question; its answer takes the waits as they were stated then.
    """
    stood = (as_it_stood(wait, as_of) for wait in waits if start <= wait.opened_at < end and wait.opened_at <= as_of)
    opened = [(wait, wait.state) for wait in stood]
    return Figures(
        first=_group([each for each in opened if each[0].kind == RESPONSE_KIND_FIRST], as_of, policies),
        next=_group([each for each in opened if each[0].kind == RESPONSE_KIND_NEXT], as_of, policies),
        all=_group(opened, as_of, policies),
        policy_versions=tuple(sorted({wait.policy_version for wait, _ in opened})),
    )


def nearest_rank(values: Sequence[int], percent: int) -> int | None:
    """Takes n values in ascending order. Returns the ceil(percent / 100 * n)-th, exactly; None when there are none."""
    return values[-(-percent * len(values) // 100) - 1] if values else None


def as_it_stood(wait: Wait, at: datetime) -> Wait:
    if wait.ending is not None and wait.ending.at <= at:
        return wait
    span = next((span for span in wait.not_owed if span[0] <= at < span[1]), None)
    if span is not None:
        return replace(wait, ending=NotOwed(span[0]))
    return wait if wait.ending is None else replace(wait, ending=None)


def _group(waits: Sequence[tuple[Wait, WaitState]], as_of: datetime, policies: Policies) -> Group:
    states = [state for _, state in waits]  # counted as a list: an enum's hash is a call of Python
    answered = [
        (wait, wait.ending.at - wait.opened_at)
        for wait, state in waits
        if wait.ending is not None and state is WaitState.ANSWERED
    ]
    waiting = [(wait, as_of - wait.opened_at) for wait, state in waits if state is WaitState.OPEN]
    # Cut to milliseconds, not rounded: cutting keeps the order of values, so a percentile is the same before and after.
    milliseconds = sorted(after // MILLISECOND for _, after in answered)
    return Group(
        opened=len(waits),
        closed=states.count(WaitState.ANSWERED),
        open=states.count(WaitState.OPEN),
        voided=states.count(WaitState.VOIDED),
        excluded=states.count(WaitState.EXCLUDED),
        not_owed=states.count(WaitState.NOT_OWED),
        closed_within=sum(after <= target(wait, policies) for wait, after in answered),
        open_past=sum(so_far > target(wait, policies) for wait, so_far in waiting),
        median_ms=nearest_rank(milliseconds, 50),
        p90_ms=nearest_rank(milliseconds, 90),
        is_ranked=len(answered) >= policies.at(as_of).sample_min,
    )


def target(wait: Wait, policies: Policies) -> timedelta:
    policy = policies.of(wait.policy_version)
    return policy.first_target if wait.kind == RESPONSE_KIND_FIRST else policy.next_target
