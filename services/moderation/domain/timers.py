"""What a client's stream does by itself, later.

What ends by time is recorded before anything else is decided, so that the stream tells the whole story. It changes
nothing for whoever evaluates phases: the facts say late what was known in time.
"""

from collections.abc import Callable, Set
from dataclasses import dataclass
from datetime import datetime
from functools import wraps
from typing import Any

from holdspace.moderation.v1.events_pb2 import BrakeLapsed, SuspensionLapsed
from kernel.decision import Decision
from kernel.gates import phases
from kernel.store.interface import Timer
from services.moderation.domain.client_standing import SUSPENDED, ClientStanding, Fact, after

MEASURE_ENDS = "measure-ends"
REPORTS_SCORE = "reports-score"


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
    for place, span in enumerate(standing.phases[:-1], 1):
        if span.until is None or now < span.until:
            break
        rest = phases(standing.phases[place:])
        lapsed = SuspensionLapsed if span.state == SUSPENDED else BrakeLapsed
        ended.append(lapsed(client_id=client_id, standing=rest))
    return ended


def after_ends(rule: Callable[..., list[Fact]]) -> Callable[..., Decision]:
    """Takes a rule of (command, standing, **read). Returns its decider, which records ends first and sets timers."""

    @wraps(rule)
    def decide(command: Any, standing: ClientStanding, **read: object) -> Decision:  # noqa: ANN401 - the rule's command
        ended = ends_due(command.client_id, standing, command.now)
        facts = [*ended, *rule(command, after(standing, ended, command.now), **read)]
        decided = after(standing, facts, command.now)
        ends_at = decided.phases[0].until
        moved = ends_at != standing.phases[0].until
        timers = [Timer(MEASURE_ENDS, ends_at)] if moved and ends_at is not None else []
        if any_reported(decided, decided.contacts - standing.contacts):
            timers.append(Timer(REPORTS_SCORE, command.now))
        return Decision(facts, timers=timers, cancelled_timers=[MEASURE_ENDS] if moved and ends_at is None else [])

    return decide


def any_reported(standing: ClientStanding, reporter_ids: Set[str]) -> bool:
    """Returns whether any of them reported this client."""
    return any(report.reporter_id in reporter_ids for report in standing.reports.values())
