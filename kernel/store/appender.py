"""Sends batches of waiting appends to Postgres, and finds out what became of one whose connection was lost."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Protocol

import asyncpg

from kernel.errors import Poison, StoreUnavailable
from kernel.store.append_call import APPEND, OUTCOMES, arguments, outcomes
from kernel.store.batches import AppendQueue, Waiting
from kernel.store.connections import GONE, TRANSIENT
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
            try:
                if batch:
                    self._metrics.batch(len(batch), len(self._queue))
                    await self._append(batch, committed)
            except asyncio.CancelledError:
                fail(batch, StoreUnavailable(CLOSED))
                raise
            except Exception as error:  # a fault of ours is theirs to hear of, and no end of appending
                fail(batch, error)
            finally:
                self._queue.finished(len(batch))

    async def close(self) -> None:
        if self._connection is not None:
            with suppress(*GONE):
                await self._connection.close(timeout=2)

    async def _append(self, batch: Sequence[Waiting], committed: Callable[[], None]) -> None:
        try:
            results = await self._call([waiting.append for waiting in batch])
        except GONE:
            await self._settle_lost(batch)
        except TRANSIENT as error:
            fail(batch, StoreUnavailable(str(error)))
        except (asyncpg.PostgresError, ValueError) as error:
            if len(batch) == 1:
                fail(batch, Poison(f"{type(error).__name__}: {error}"))
                return
            for waiting in batch:  # One of them is bad; alone it gets its own error.
                if not waiting.is_cut_off:
                    await self._append([waiting], committed)
                elif not waiting.answer.done():
                    waiting.answer.set_result(Appended(Outcome.STALE, waiting.append.stream))
        else:
            committed()
            for outcome, count in Counter([int(result.outcome) for result in results]).items():
                self._metrics.appended(OUTCOMES[outcome].name, count)
            for waiting, result in zip(batch, results, strict=True):
                if not waiting.answer.done():
                    waiting.answer.set_result(result)

    async def _call(self, appends: Sequence[Append]) -> list[Appended]:
        if self._connection is None or self._connection.is_closed():
            self._connection = await self._connect()
        row = await self._connection.fetchrow(APPEND, *arguments(appends))
        return outcomes(appends, row["head"], row["outcomes"], row["answers"])

    async def _settle_lost(self, batch: Sequence[Waiting]) -> None:
        """The connection went away, before or after the commit: ask which requests were accepted, never guess."""
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None
        for attempt in range(5):
            try:
                for waiting in batch:
                    found = await self._find_request(waiting.append.request)
                    if waiting.answer.done():
                        continue
                    if found is None or found.outcome is not Outcome.REQUEST_SEEN:
                        waiting.answer.set_exception(StoreUnavailable("connection lost before the commit"))
                    else:
                        waiting.answer.set_result(found)
            except (StoreUnavailable, *TRANSIENT):
                await asyncio.sleep(min(2.0, 0.1 * 2**attempt) * (0.5 + self._jitter()))
            else:
                return
        fail(batch, StoreUnavailable("connection lost; whether the append took effect is not known"))


def fail(batch: Sequence[Waiting], error: Exception) -> None:
    """Tells everyone of the batch who still waits."""
    for waiting in batch:
        if not waiting.answer.done():
            waiting.answer.set_exception(error)
