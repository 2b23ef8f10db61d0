"""The effects of one batch: in order within a key, side by side across keys, so that appends meet in one commit."""

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence

from kernel.consumers.fence import Held
from kernel.consumers.limits import ConsumerLimits
from kernel.consumers.listing import ReactToMany, Task
from kernel.consumers.passing import BatchTimeSpent, is_passing
from kernel.consumers.records import Lane, Record
from kernel.errors import Rejected

BEHIND = "behind a parked record of its key"
TRIES = 2
TOGETHER_MAX = 2_000  # facts; between two such effects it is looked whether the batch may go on

Done = dict[Record, bool]
"""Records that are through, with whether a rule said no to them."""


class Lanes:
    """Runs tasks under a held fence and notes in `done` those that are through."""

    def __init__(self, held: Held, done: Done, limits: ConsumerLimits) -> None:
        self._held = held
        self._done = done
        self._room = asyncio.Semaphore(limits.lanes_at_once_max)
        self._ends_at = time.monotonic() + limits.batch_seconds_max
        self.failed: list[tuple[Record, str]] = []  # with the reason
        self.behind: list[tuple[Record, str]] = []

    async def run(self, lanes: Mapping[Lane, Sequence[Task]]) -> None:
        """Returns when every task is done, failed or behind a failed one.

        Raises BatchTimeSpent, or an error that passes, after all that was under way has ended. What is in `done` then
        need not be asked for again.
        """
        if not lanes:
            return
        async with self._held.kept_alive():
            await self._run_together(lanes.values())
            left = [tasks for tasks in lanes.values() if not all(task.record in self._done for task in tasks)]
            ends = await asyncio.gather(*(self._run_lane(tasks) for tasks in left), return_exceptions=True)
        errors = [end for end in ends if isinstance(end, BaseException)]
        if errors:
            raise next((error for error in errors if not isinstance(error, BatchTimeSpent)), errors[0])

    async def _run_together(self, lanes: Iterable[Sequence[Task]]) -> None:
        """Takes the lanes in which one reaction takes all there is, many facts at once. What it does not get through is
        left for `_run_lane`.
        """
        together: dict[ReactToMany, list[Task]] = {}
        for tasks in lanes:
            react = _of_all(tasks)
            if react is not None:
                together.setdefault(react, []).extend(task for task in tasks if task.record not in self._done)
        for react, tasks in together.items():
            for first in range(0, len(tasks), TOGETHER_MAX):
                await self._take_many(react, tasks[first : first + TOGETHER_MAX])

    async def _take_many(self, react: ReactToMany, tasks: Sequence[Task]) -> None:
        self._go_on()
        try:
            await react([task.fact for task in tasks if task.fact is not None])
        except Exception as error:
            if is_passing(error):
                raise
        else:
            self._done.update((task.record, False) for task in tasks)

    def _go_on(self) -> None:
        """Raises FenceLost or BatchTimeSpent. To be called before each effect."""
        self._held.check()
        if time.monotonic() > self._ends_at:
            raise BatchTimeSpent

    async def _run_lane(self, tasks: Sequence[Task]) -> None:
        for number, task in enumerate(tasks):
            if task.record in self._done:
                continue
            async with self._room:
                reason = await self._take(task)
            if reason:
                self.failed.append((task.record, reason))
                self.behind += [(later.record, BEHIND) for later in tasks[number + 1 :]]
                return

    async def _take(self, task: Task) -> str:
        """Returns why the record is to be parked, an empty string when it is through."""
        reason = task.poison
        if task.entry is None or task.fact is None:
            return reason
        for _ in range(TRIES):
            self._go_on()
            try:
                await task.entry.react(task.fact)
            except Rejected:
                self._done[task.record] = True
                return ""
            except Exception as error:
                if is_passing(error):
                    raise
                reason = repr(error)
            else:
                self._done[task.record] = False
                return ""
        return reason


def _of_all(tasks: Sequence[Task]) -> ReactToMany | None:
    """Returns the one reaction to many that all of these are for, if there is one."""
    first = tasks[0].entry if tasks else None
    if first is None or first.react_to_many is None:
        return None
    return first.react_to_many if all(task.entry is first for task in tasks) else None
