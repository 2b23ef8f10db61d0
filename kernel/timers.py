"""Timers: rows set by appends, fired as commands. The effect is keyed by timer and firing, so twice has one effect."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Protocol

from kernel.clock import Clock
from kernel.commands import CommandPath
from kernel.errors import Rejected
from kernel.requests import reaction_request
from kernel.routes import Command
from kernel.store.interface import EventStore, TimerDue

TIMERS_AT_ONCE_MAX = 100


class TimerMetrics(Protocol):
    def timer_fired(self, name: str) -> None: ...


class Timers:
    """`commands`: by timer name, what a due timer of a stream means: (timer, now) to a command of ours."""

    def __init__(
        self,
        store: EventStore,
        path: CommandPath,
        commands: Mapping[str, Callable[[TimerDue, datetime], Command]],
        clock: Clock,
        metrics: TimerMetrics,
    ) -> None:
        self._store = store
        self._path = path
        self._commands = commands
        self._clock = clock
        self._metrics = metrics

    async def step(self) -> bool:
        """Fires what is due. Returns whether anything was."""
        if not self._commands:
            return False
        due: Sequence[TimerDue] = await self._store.take_due_timers(self._clock.now(), TIMERS_AT_ONCE_MAX)
        async with asyncio.TaskGroup() as group:
            for timer in due:
                group.create_task(self._fire(timer))
        return bool(due)

    async def _fire(self, timer: TimerDue) -> None:
        request = reaction_request("timer", timer.stream, timer.name, timer.due_at.isoformat())
        with suppress(Rejected):  # What it was to end has ended already.
            await self._path.run(self._commands[timer.name](timer, self._clock.now()), request)
        await self._store.finish_timer(timer)
        self._metrics.timer_fired(timer.name)
