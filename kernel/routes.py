"""What a service says of its commands: on which stream each runs, what its decision reads, and who asked for one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from kernel.decision import Decision
from kernel.facts import Origin
from kernel.folded import Fold
from kernel.store.interface import Request


class Command(Protocol):
    """Commands are frozen dataclasses; `now` is the instant they are decided at."""

    @property
    def now(self) -> datetime: ...


@dataclass(frozen=True, slots=True)
class Read:
    """Another stream of this store that a decision reads."""

    stream: Callable[[Any], str]
    fold: Fold[Any]


@dataclass(frozen=True, slots=True)
class Route:
    """One line of a service's table of contents."""

    command: type[Any]
    stream: Callable[[Any], str]
    fold: Fold[Any]
    decide: Callable[..., Decision]  # (command, state, *states of `reads`)
    reads: Sequence[Read] = ()
    claim_taken: str = ""  # the reason when another stream holds what this command claims
    expire_hold: Callable[[str, datetime], Any] | None = None  # (holder, now): the command that ends an expired hold
    urgent: bool = False


class Asked(NamedTuple):
    """A command with who asked for it, under which id."""

    command: Command
    request: Request
    origin: Origin
