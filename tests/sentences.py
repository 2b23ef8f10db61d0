"""Given, when, then: how the test of a rule is written.

    CLIENT = Sentences(CLIENT_STANDING, decide)
    CLIENT.given(contact_seen("t1")).when(report("r1", DANGER)).then(reported("r1", DANGER), suspended("r1"))

Facts given without a time happened at `START`, one second apart; `at(time, fact)` names another.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest
from google.protobuf.message import Message

from kernel.decision import Decision
from kernel.errors import Rejected
from kernel.folded import Fold

START = datetime(2026, 3, 2, 9, tzinfo=UTC)


class Timed(NamedTuple):
    at: datetime
    fact: Message


def at(time: datetime, fact: Message) -> Timed:
    return Timed(time, fact)


Decide = Callable[..., Decision]


def by_name(decide: Decide, read: Sequence[object]) -> dict[str, object]:
    """Returns what a decision reads under the names its decider takes it by, in the decider's order."""
    parameters = inspect.signature(decide).parameters.values()
    names = [each.name for each in parameters if each.kind is inspect.Parameter.KEYWORD_ONLY]
    return dict(zip(names, read, strict=True))


@dataclass(frozen=True, slots=True)
class Sentences:
    """`decide`: one for all commands, or one for each type of command. `read`: what commands of a type read unless a
    sentence says otherwise.
    """

    fold: Fold[Any]
    decide: Decide | Mapping[type[Any], Decide]
    read: Mapping[type[Any], Sequence[object]] = field(default_factory=dict)

    def decider_of(self, command: object) -> Decide:
        return self.decide[type(command)] if isinstance(self.decide, Mapping) else self.decide

    def given(self, *facts: Message | Timed) -> "Given":
        state = self.fold.initial
        for second, fact in enumerate(facts):
            timed = fact if isinstance(fact, Timed) else Timed(START + timedelta(seconds=second), fact)
            state = self.fold.evolve(state, timed.fact, timed.at)
        return Given(self, state)


@dataclass(frozen=True, slots=True)
class Given:
    sentences: Sentences
    state: Any

    def when(self, command: object, *read: object) -> "When":
        """`read`: the states of the other streams that the decision reads, in the decider's order."""
        return When(self, command, read or self.sentences.read.get(type(command), ()))


@dataclass(frozen=True, slots=True)
class When:
    given: Given
    command: object
    read: Sequence[object]

    def decision(self) -> Decision:
        decide = self.given.sentences.decider_of(self.command)
        return decide(self.command, self.given.state, **by_name(decide, self.read))

    def then(self, *facts: Message) -> Decision:
        """Asserts the facts, all and in order; returns the decision for what else it holds."""
        decision = self.decision()
        assert list(decision.facts) == list(facts)
        return decision

    def refused(self, reason: str, field: str = "") -> None:
        with pytest.raises(Rejected) as caught:
            self.decision()
        assert (caught.value.reason, caught.value.field) == (reason, field)
