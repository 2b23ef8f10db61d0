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
from kernel.commands import Command
from kernel.consumers.listing import BEGINNING, On, Start
from kernel.consumers.records import ForeignFact
from kernel.facts import instant
from kernel.gates import CopyGate
from kernel.reactions import Effects


class EnforcedMetrics(Protocol):
    def enforced(self, seconds: float) -> None:
        """Time from a decision elsewhere to its commit here."""


@dataclass(frozen=True, slots=True)
class OnForeign:
    """`react(fact, now)` returns the commands that follow from another service's fact: pure, and safe to repeat."""

    fact: type[Message]
    react: Callable[[ForeignFact, datetime], Sequence[Command]]
    start: Start = BEGINNING
    imported: bool = False


def bind(
    consumer: str, reactions: Sequence[OnForeign], effects: Effects, clock: Clock, metrics: EnforcedMetrics
) -> list[On]:
    """Returns the entries of a consumer: each fact's commands through the append path, in one go."""

    def bound(reaction: OnForeign) -> On:
        async def react(fact: ForeignFact) -> None:
            commands = reaction.react(fact, clock.now())
            await effects.run(consumer, fact.envelope, commands)
            if any(isinstance(command, CopyGate) for command in commands):
                metrics.enforced((clock.now() - instant(fact.envelope.occurred_at)).total_seconds())

        return On(reaction.fact, react, reaction.start, reaction.imported)

    return [bound(reaction) for reaction in reactions]


def copied_gate(gate: str, subject: str, phases: Any, fact: ForeignFact, now: datetime) -> CopyGate:  # noqa: ANN401 - a repeated field
    """Returns the command that copies what a lane's fact says of a subject. `phases`: its field of Phase messages."""
    return CopyGate(
        gate=gate,
        subject=subject,
        source_version=fact.version,
        decided_at=instant(fact.envelope.occurred_at),
        phases=list(phases),
        source_type=fact.envelope.type,
        now=now,
    )
