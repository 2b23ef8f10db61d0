"""A server that stops: whatever has come, or still comes, is answered before it goes.

grpc.aio cancels, without a word to the caller, the calls that have arrived and are not accepted when its server stops.
So the server goes on accepting first. Whoever calls meanwhile is refused with DRAINING: at once while others are under
way, and then, for a moment, not before the server has told every connection to close. A caller that calls again as soon
as it is answered does so on a new connection, and none of its calls can meet the end.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from kernel.errors import Rejected
from kernel.tasks import happens

LOOK_SECONDS = 0.025
QUIET_LOOKS = 4  # in a row without a new call: then none is on its way. A loop held up by work counts as one look.
LEAVING_LOOKS_MAX = 40  # for callers that never pause
ANSWERED_SECONDS_MAX = 2.0  # A caller without a deadline is not kept for longer.
CUT_SECONDS_MAX = 0.5  # for the answers of what was under way for too long


class Reads(Protocol):
    def end(self) -> None:
        """Reads no further."""
        ...


class Draining:
    """Says that the server is stopping, ends the reading of streams, and knows what is under way."""

    def __init__(self) -> None:
        self.is_on = False
        self._readings: set[Reads] = set()
        self._under_way: set[asyncio.Task[Any]] = set()
        self._is_idle = asyncio.Event()
        self._is_cut = False
        self._is_leaving = False
        self._has_left = asyncio.Event()
        self._turned_away = 0

    def begin(self) -> None:
        """From now on calls are turned away."""
        self.is_on = True
        for reading in self._readings:
            reading.end()

    @contextmanager
    def ends(self, reading: Reads) -> Iterator[None]:
        """Ends the reading at the latest when draining begins, or the block does."""
        self._readings.add(reading)
        try:
            if self.is_on:
                reading.end()
            yield
        finally:
            self._readings.discard(reading)
            reading.end()

    def add(self, call: asyncio.Task[Any]) -> None:
        """Takes the task of a call that is waited for, until `discard`."""
        self._under_way.add(call)

    def discard(self, call: asyncio.Task[Any]) -> None:
        self._under_way.discard(call)
        if self.is_on and not self._under_way:
            self._is_idle.set()

    def was_cut(self, call: asyncio.Task[Any]) -> bool:
        """Says of a call that was cancelled whether that was for the end of the drain; if so it goes on, to answer."""
        return self._is_cut and call.uncancel() == 0

    async def turn_away(self, seconds_left: float | None) -> Rejected:
        """Returns the refusal once the caller may have it. `seconds_left`: until the call's deadline, if it has one."""
        self._turned_away += 1
        if self._is_leaving:
            await happens(self._has_left, ANSWERED_SECONDS_MAX if seconds_left is None else seconds_left / 2)
        return Rejected("DRAINING")

    async def idle(self, seconds_max: float) -> None:
        """Returns when nothing is under way. What still is at the end of the time is cut: answered with DRAINING."""
        if self._under_way and not await happens(self._is_idle, seconds_max):
            self._is_cut = True
            for call in self._under_way:
                call.cancel()
            await happens(self._is_idle, CUT_SECONDS_MAX)

    async def quiet(self) -> None:
        """Returns when no more calls come, or those that come wait for `left`."""
        self._is_leaving = True
        quiet, met = 0, self._turned_away
        for _ in range(LEAVING_LOOKS_MAX):
            await asyncio.sleep(LOOK_SECONDS)
            quiet, met = (quiet + 1 if met == self._turned_away else 0), self._turned_away
            if quiet == QUIET_LOOKS:
                return

    def left(self) -> None:
        """Every connection has been told to close: callers that were turned away may know."""
        self._has_left.set()
