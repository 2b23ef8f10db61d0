"""What a service says of its commands: on which stream each runs, what its decision reads, and who asked for one."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
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


class WrongRoute(Exception):  # noqa: N818 - names the finding
    """A decider does not take what its route reads."""


@dataclass(frozen=True, slots=True)
class Read:
    """Another stream of this store that a decision reads. `subject`: for a gate, whom it is about."""

    stream: Callable[[Any], str]
    fold: Fold[Any]
    subject: Callable[[Any], str] | None = None


@dataclass(frozen=True, slots=True)
class Route:
    """One line of a service's table of contents.

    `decide(command, state, *, ...)` takes what is read by keyword, under the names it has in `reads`.
    """

    command: type[Any]
    stream: Callable[[Any], str]
    fold: Fold[Any]
    decide: Callable[..., Decision]
    reads: Mapping[str, Read] = field(default_factory=dict)
    claim_taken: str = ""  # the reason when another stream holds what this command claims
    claims_taken: Mapping[str, str] = field(default_factory=dict)  # other reasons, by how the claim's name begins
    expire_hold: Callable[[str, datetime], Any] | None = None  # (holder, now): the command that ends an expired hold
    urgent: bool = False

    def __post_init__(self) -> None:
        """Raises WrongRoute when the decider's keyword-only parameters are not the names of `reads`."""
        parameters = inspect.signature(self.decide).parameters.values()
        takes = {each.name for each in parameters if each.kind is inspect.Parameter.KEYWORD_ONLY}
        if takes != self.reads.keys():
            raise WrongRoute(f"{self.command.__name__} reads {sorted(self.reads)}, its decider takes {sorted(takes)}")

    def reason_taken(self, claim: str) -> str:
        """Returns the reason when another stream holds this claim."""
        reasons = (reason for begins, reason in self.claims_taken.items() if claim.startswith(begins))
        return next(reasons, self.claim_taken)


class Asked(NamedTuple):
    """A command with who asked for it, under which id."""

    command: Command
    request: Request
    origin: Origin
