"""Reactions to other services' facts, as a service lists them, bound to its command path.

def lanes() -> list[OnForeign]:
    return [OnForeign(ClientSuspended, copy_standing), ...]
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from google.protobuf.message import Message

from kernel.clock import Clock
from kernel.consumers.listing import BEGINNING, On, Start
from kernel.consumers.records import ForeignFact
from kernel.facts import instant
from kernel.gates import CopyGate, span_at, spans_of
from kernel.reactions import Effects, Join
from kernel.routes import Command


class EnforcedMetrics(Protocol):
    def enforced(self, seconds: float) -> None:
        """Time from a decision elsewhere that closes a gate to its commit here. A repetition is not counted."""


@dataclass(frozen=True, slots=True)
class OnForeign:
    """`react(fact, now)` returns the commands that follow from another service's fact: pure, and safe to repeat.

    `join` lets many facts be taken at once, with one append for all commands on a stream. It is for commands that do
    nothing about what their stream has already, in whatever portions and order they come.
    """

    fact: type[Message]
    react: Callable[[ForeignFact, datetime], Sequence[Command]]
    start: Start = BEGINNING
    imported: bool = False
    join: Join | None = None


def bind(
    consumer: str, reactions: Sequence[OnForeign], effects: Effects, clock: Clock, metrics: EnforcedMetrics
) -> list[On]:
    """Returns the entries of a consumer: each fact's commands through the append path, in one go."""

    def bound(reaction: OnForeign) -> On:
        async def react(fact: ForeignFact) -> None:
            commands = reaction.react(fact, clock.now())
            appended = await effects.run(named(consumer, fact), fact.envelope, commands)
            if any(facts and closes(command) for command, facts in zip(commands, appended, strict=True)):
                elapsed = clock.now() - instant(fact.envelope.occurred_at)
                metrics.enforced(max(0.0, elapsed.total_seconds()))  # two clocks: one may be ahead

        async def react_to_many(facts: Sequence[ForeignFact]) -> None:
            assert reaction.join is not None  # noqa: S101 - or this is not listed
            now = clock.now()
            caused = [(fact.envelope, command) for fact in facts for command in reaction.react(fact, now)]
            await effects.run_joined(named(consumer, *facts), caused, reaction.join)

        return On(
            reaction.fact,
            react,
            reaction.start,
            reaction.imported,
            react_to_many if reaction.join is not None else None,
        )

    return [bound(reaction) for reaction in reactions]


def copied_gate(gate: str, subject: str, phases: Any, fact: ForeignFact, now: datetime) -> CopyGate:  # noqa: ANN401 - a repeated field
    """Returns the command that copies what a lane's fact says of a subject. `phases`: its field of Phase messages."""
    return CopyGate(
        gate=gate,
        subject=subject,
        source=fact.origin,
        epoch=fact.epoch,
        version=fact.version,
        decided_at=instant(fact.envelope.occurred_at),
        phases=list(phases),
        source_type=fact.envelope.type,
        now=now,
    )


def named(consumer: str, *facts: ForeignFact) -> str:
    """Returns the name that effects have. What a restored source states again is told again: it says what survived."""
    epoch = max(fact.epoch for fact in facts)
    return f"{consumer}/epoch-{epoch}" if epoch > 1 else consumer


def closes(command: Command) -> bool:
    """Says whether the command closes a gate from now on."""
    return isinstance(command, CopyGate) and span_at(spans_of(command.phases), command.now).closed
