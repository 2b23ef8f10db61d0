"""What a bench is made of: cells measured in turn, and goals that compare their figures within a round.

Absolute figures move with the machine and its neighbours; a ratio of two cells of one round does not. So every goal but
a few limits in milliseconds is a ratio, taken per round; its median counts, and its least and most are shown.
"""

import statistics
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

from kernel import garbage
from tests.load.stack import Stack

# What a cell measured in one round, by figure: "per_second", "p50_ms", "p99_ms", "seconds", "bytes" and the like.
Reading = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Cell:
    """One thing measured. `measure` takes one round of it, a few seconds long, and is called once a round."""

    name: str
    measure: Callable[[], Awaitable[Reading]]


@dataclass(frozen=True, slots=True)
class Figure:
    cell: str
    name: str


@dataclass(frozen=True, slots=True)
class Goal:
    """What is asked of a figure: at least or at most so much, of a reference where there is one. A goal with neither
    limit only shows the figure.
    """

    id: str  # as in docs/performance.md: P1
    says: str
    figure: Figure
    reference: Figure | None = None  # None: the figure itself is limited
    least: float | None = None
    most: float | None = None


@dataclass(frozen=True, slots=True)
class Options:
    """`peers`: other libraries too, which are installed for it. `rounds`: how often each cell is measured."""

    rounds: int
    peers: bool


@dataclass(frozen=True, slots=True)
class Group:
    """Cells of one table. `open` prepares them on the stack, yields them, and tidies up."""

    title: str
    goals: Sequence[Goal]
    open: Callable[[Stack, Options], AbstractAsyncContextManager[Sequence[Cell]]]
    rounds_max: int | None = None  # for cells that take minutes
    room_gib: int = 20  # on disk, with the write-ahead log


@dataclass(frozen=True, slots=True)
class Told:
    """A goal with what came out: the median of its rounds, the least and the most."""

    goal: Goal
    median: float
    least: float
    most: float

    @property
    def is_met(self) -> bool | None:
        """None where nothing was asked."""
        if self.goal.least is not None:
            return self.median >= self.goal.least
        return self.median <= self.goal.most if self.goal.most is not None else None


@dataclass(slots=True)
class Measured:
    """The readings of a group's cells, a list of rounds for each. `pace_ms`: `pace` before each of them."""

    readings: dict[str, list[Reading]] = field(default_factory=dict)
    pace_ms: list[float] = field(default_factory=list)

    def of(self, figure: Figure) -> list[float]:
        return [reading[figure.name] for reading in self.readings[figure.cell]]

    def told(self, goals: Sequence[Goal]) -> list[Told]:
        """Returns the goals whose cells were measured; those of peers are missing when there were none."""
        return [self._told(goal) for goal in goals if self._has(goal)]

    def _has(self, goal: Goal) -> bool:
        figures = [goal.figure, *([goal.reference] if goal.reference else [])]
        return all(figure.cell in self.readings for figure in figures)

    def _told(self, goal: Goal) -> Told:
        values = self.of(goal.figure)
        if goal.reference is not None:
            values = [value / base for value, base in zip(values, self.of(goal.reference), strict=True)]
        return Told(goal, statistics.median(values), min(values), max(values))


def pace() -> float:
    """Returns the milliseconds of processor time that a fixed loop takes: with them limits in milliseconds can be read,
    which no reference of the same run puts right. The machine's neighbours make it up to twice as long.
    """
    began, total = time.thread_time(), 0
    for number in range(300_000):
        total += number * number % 7
    return (time.thread_time() - began) * 1000


async def measure(group: Group, stack: Stack, options: Options, say: Callable[[str], None]) -> Measured:
    """Runs every cell once a round, in turn. `say` hears of each."""
    measured = Measured()
    rounds = min(options.rounds, group.rounds_max or options.rounds)
    async with group.open(stack, options) as cells:
        garbage.keep_what_is_there()  # as in a service
        for number in range(1, rounds + 1):
            for cell in cells:
                say(f"{group.title}: round {number} of {rounds}: {cell.name}")
                measured.pace_ms.append(pace())
                measured.readings.setdefault(cell.name, []).append(await cell.measure())
    return measured
