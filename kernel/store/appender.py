"""Sends batches of waiting appends to Postgres, and finds out what became of one whose connection was lost."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import asyncpg

from kernel.errors import Poison, StoreUnavailable
from kernel.store.append_call import APPEND, OUTCOMES, arguments, outcomes
from kernel.store.batches import AppendQueue, Told, Waiting
from kernel.store.connections import TRANSIENT, close, is_gone
from kernel.store.interface import Append, Appended, Outcome, Request

CLOSED = "the store is closed"


class AppendMetrics(Protocol):
    def appended(self, outcome: str, count: int) -> None: ...
    def batch(self, appends: int, waiting: int) -> None: ...


class Appender:
    """One connection that appends, a batch at a time. Several of one queue let a batch travel and be answered while
    another is being committed; the lock in the function puts them in order.
    """

    def __init__(
        self,
        queue: AppendQueue,
        connect: Callable[[], Awaitable[asyncpg.Connection]],
        find_request: Callable[[Request], Awaitable[Appended | None]],
        metrics: AppendMetrics,
        *,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._queue = queue
        self._connect = connect
        self._find_request = find_request
        self._metrics = metrics
        self._jitter = jitter
        self._connection: asyncpg.Connection | None = None

    async def run(self, committed: Callable[[], None]) -> None:
        """Appends until it is cancelled; `committed` hears of every batch that may have brought facts."""
        while True:
            batch = await self._queue.take(asyncio.get_running_loop().time())
            appends = [append for waiting in batch for append in waiting.appends]
            try:
                if appends:
                    self._metrics.batch(len(appends), len(self._queue))
                    tell(batch, await self._append(appends, committed))
            except asyncio.CancelledError:
                fail(batch, StoreUnavailable(CLOSED))
                raise
            except Exception as error:  # a fault of ours is theirs to hear of, and no end of appending
                fail(batch, error)
            finally:
                self._queue.finished(len(appends))

    async def close(self) -> None:
        await close(self._connection)

    async def _append(self, appends: Sequence[Append], committed: Callable[[], None]) -> Sequence[Told]:
        try:
            told = await self._call(appends)
        except TRANSIENT as error:
            return [StoreUnavailable(str(error))] * len(appends)
        except Exception as error:
            if is_gone(error):
                return await self._settle_lost(appends)
            if not isinstance(error, (asyncpg.PostgresError, ValueError)):
                raise
            if len(appends) == 1:
                return [Poison(f"{type(error).__name__}: {error}")]
            return await self._append_singly(appends, committed)
        committed()
        for outcome, count in Counter([int(one.outcome) for one in told]).items():
            self._metrics.appended(OUTCOMES[outcome].name, count)
        return told

    async def _append_singly(self, appends: Sequence[Append], committed: Callable[[], None]) -> Sequence[Told]:
        """One of them is bad; alone it gets its own error, and what follows it on its stream is not sent."""
        told: list[Told] = []
        cut_off: set[str] = set()
        for append in appends:
            if append.stream in cut_off:
                told.append(Appended(Outcome.STALE, append.stream))
                continue
            (one,) = await self._append([append], committed)
            if isinstance(one, Exception) or one.outcome is not Outcome.APPENDED:
                cut_off.add(append.stream)
            told.append(one)
        return told

    async def _call(self, appends: Sequence[Append]) -> list[Appended]:
        if self._connection is None or self._connection.is_closed():
            self._connection = await self._connect()
        row = await self._connection.fetchrow(APPEND, *arguments(appends))
        return outcomes(appends, row["head"], row["outcomes"], row["answers"])

    async def _settle_lost(self, appends: Sequence[Append]) -> Sequence[Told]:
        """The connection went away, before or after the commit: ask which requests were accepted, never guess."""
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None
        told: list[Told] = []
        for attempt in range(5):
            try:
                while len(told) < len(appends):
                    found = await self._find_request(appends[len(told)].request)
                    if found is None or found.outcome is not Outcome.REQUEST_SEEN:
                        told.append(StoreUnavailable("connection lost before the commit"))
                    else:
                        told.append(found)
            except (StoreUnavailable, *TRANSIENT):
                await asyncio.sleep(min(2.0, 0.1 * 2**attempt) * (0.5 + self._jitter()))
            else:
                return told
        unknown = StoreUnavailable("connection lost; whether the append took effect is not known")
        return [*told, *[unknown] * (len(appends) - len(told))]


def tell(batch: Sequence[Waiting], told: Sequence[Told]) -> None:
    """Tells everyone of the batch what became of their appends; `told` has them in order."""
    after = 0
    for waiting in batch:
        before, after = after, after + len(waiting.appends)
        if not waiting.answer.done():
            waiting.answer.set_result(told[before:after])


def fail(batch: Sequence[Waiting], error: Exception) -> None:
    """Tells everyone of the batch who still waits."""
    for waiting in batch:
        if not waiting.answer.done():
            waiting.answer.set_exception(error)
