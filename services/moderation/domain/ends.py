"""What ends by time is recorded before anything else is decided, so that a client's stream tells the whole story.

The facts change nothing for whoever evaluates phases: they say late what was known in time.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from holdspace.moderation.v1.events_pb2 import BrakeLapsed, SuspensionLapsed
from kernel.decision import Decision
from kernel.gates import phase
from kernel.store.interface import Timer
from services.moderation.domain.client_standing import SUSPENDED, ClientStanding, Fact, after

MEASURE_ENDS = "measure-ends"


@dataclass(frozen=True, slots=True)
class RecordEnds:
    """Asked for by the timer of the phase that ends next."""

    client_id: str
    now: datetime


def record_ends(_: RecordEnds, __: ClientStanding) -> list[Fact]:
    """Adds nothing to what `after_ends` records for every command."""
    return []


def ends_due(client_id: str, standing: ClientStanding, now: datetime) -> list[Fact]:
    """Returns the ends that came by now, one for each phase that is over."""
    ended: list[Fact] = []
    for place, (state, until) in enumerate(standing.phases[:-1], 1):
        if until is None or now < until:
            break
        rest = [phase(*later) for later in standing.phases[place:]]
        lapsed = SuspensionLapsed if state == SUSPENDED else BrakeLapsed
        ended.append(lapsed(client_id=client_id, standing=rest))
    return ended


def after_ends(rule: Callable[..., list[Fact]]) -> Callable[..., Decision]:
    """Takes a rule of (command, standing, *read). Returns its decider, which also sets the timer of the next end."""

    def decide(command: Any, standing: ClientStanding, *read: object) -> Decision:  # noqa: ANN401 - the rule's command
        ended = ends_due(command.client_id, standing, command.now)
        current = after(standing, ended, command.now)
        facts = rule(command, current, *read)
        return with_timer(standing, after(current, facts, command.now), [*ended, *facts])

    return decide


def with_timer(before: ClientStanding, now: ClientStanding, facts: list[Fact]) -> Decision:
    due = now.phases[0][1]
    if due == before.phases[0][1]:
        return Decision(facts)
    if due is None:
        return Decision(facts, cancelled_timers=[MEASURE_ENDS])
    return Decision(facts, timers=[Timer(MEASURE_ENDS, due)])
