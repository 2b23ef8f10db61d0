"""The machine's clock, compared with the store's: a process that is more than a second off decides nothing (PL9).

The store's time is asked once a second and goes on by the machine's monotonic clock in between, so a machine's clock
that is set is noticed with the next look at it, and not a second later.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Protocol

import structlog

from kernel.errors import ClockOff, StoreUnavailable
from kernel.freshness import GateWatch, LaneStatus
from kernel.tasks import happens, until_stopped

OFFSET_SECONDS_MAX = 1.0
LOOK_SECONDS = 1.0

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


class ClockMetrics(Protocol):
    def clock_offset_seconds(self, seconds: float) -> None:
        """How far this process's clock is ahead of its store's."""


class WatchedClock:
    """A clock, and a role that keeps comparing it. Not known to be right before `compare` was first called."""

    name = "clock"

    def __init__(
        self,
        store_time: Callable[[], Awaitable[datetime]],
        metrics: ClockMetrics,
        *,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`wall` and `monotonic` return seconds, the former since 1970. `store_time` raises StoreUnavailable."""
        self._store_time = store_time
        self._metrics = metrics
        self._wall = wall
        self._monotonic = monotonic
        self._store_ahead: float | None = None  # the store's time less our monotonic one
        self._was_off = False
        self._stopping = asyncio.Event()

    def now(self) -> datetime:
        return datetime.fromtimestamp(self._wall(), UTC)

    def offset_seconds(self) -> float | None:
        """Returns how far this clock is ahead of the store's; None while that is not known."""
        if self._store_ahead is None:
            return None
        return self._wall() - self._monotonic() - self._store_ahead

    def check(self) -> None:
        """Raises ClockOff when nothing may be decided by this clock."""
        offset = self.offset_seconds()
        if offset is None or abs(offset) > OFFSET_SECONDS_MAX:
            raise ClockOff(f"the clock is {told(offset)} the store's")

    def is_off(self) -> bool:
        offset = self.offset_seconds()
        return offset is None or abs(offset) > OFFSET_SECONDS_MAX

    async def compare(self) -> None:
        """Asks the store. Half of the way there and back is taken for the way back. Raises StoreUnavailable."""
        began = self._monotonic()
        store_time = (await self._store_time()).timestamp()
        ended = self._monotonic()
        ahead = store_time - (began + ended) / 2
        slack = (ended - began) / 2  # The truth is no further from the middle than this.
        if self._store_ahead is None or slack < OFFSET_SECONDS_MAX / 4 or abs(ahead - self._store_ahead) > slack:
            self._store_ahead = ahead
        self._tell()

    async def run(self) -> None:
        await until_stopped(self._run(), self._stopping, 0)

    async def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                await self.compare()
            except StoreUnavailable:
                self._tell()  # What was known goes on by the monotonic clock; whoever decides meets the store itself.
            await happens(self._stopping, LOOK_SECONDS)

    async def stop(self) -> None:
        self._stopping.set()

    def _tell(self) -> None:
        offset, is_off = self.offset_seconds(), self.is_off()
        if offset is not None:
            self._metrics.clock_offset_seconds(offset)
        if is_off and not self._was_off:
            log.error("the clock is off; nothing is decided until it is set", offset=told(offset))
        if self._was_off and not is_off:
            log.info("the clock is right again", offset=told(offset))
        self._was_off = is_off


class GatesInTime:
    """Gates of a process whose clock may be off: whoever decides looks at them first, and then decides nothing."""

    def __init__(self, gates: GateWatch, clock: WatchedClock) -> None:
        self._gates = gates
        self._clock = clock

    async def look(self) -> LaneStatus:
        """Raises ClockOff."""
        self._clock.check()
        return await self._gates.look()


def told(offset: float | None) -> str:
    if offset is None:
        return "not yet compared with"
    return f"{abs(offset):.3f} s {'ahead of' if offset > 0 else 'behind'}"
