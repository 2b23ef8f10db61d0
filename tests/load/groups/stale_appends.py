"""P4: what stale appends cost the good ones that share their transactions."""

import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from kernel.store.interface import Outcome
from kernel.store.postgres import PostgresStore
from tests.load import pgbench
from tests.load.groups.append import CALLERS, FACTS_BEFORE, Uncounted, an_append, fill
from tests.load.load import for_a_while, in_milliseconds
from tests.load.measuring import Cell, Figure, Goal, Group, Options, Reading
from tests.load.stack import Stack

STALE_SHARE = 0.2
NONE_STALE = "append with request id, none stale"
SOME_STALE = f"append with request id, {STALE_SHARE:.0%} stale"


def appending(store: PostgresStore, share: float) -> Callable[[], Awaitable[Reading]]:
    """Measures the good ones. Raises when one of them fails, or a stale one does not."""
    fact = random.randbytes(pgbench.FACT_BYTES)

    async def measure() -> Reading:
        good: list[float] = []

        async def append() -> None:
            asked, expected = an_append(fact), Outcome.APPENDED
            if random.random() < share:
                asked, expected = asked._replace(expected_version=1), Outcome.STALE
            began = time.perf_counter()
            appended = await store.append(asked)
            if appended.outcome is not expected:
                raise AssertionError(f"{appended} where {expected} was due")
            if expected is Outcome.APPENDED:
                good.append(time.perf_counter() - began)

        began = time.perf_counter()
        await for_a_while([append] * CALLERS)
        return {"per_second": len(good) / (time.perf_counter() - began), **in_milliseconds(good)}

    return measure


@asynccontextmanager
async def open_cells(stack: Stack, options: Options) -> AsyncIterator[Sequence[Cell]]:
    async with stack.database("messaging") as database_url:
        await fill(database_url, FACTS_BEFORE)
        store = PostgresStore(database_url, "messaging", Uncounted())
        await store.open()
        yield [Cell(NONE_STALE, appending(store, 0)), Cell(SOME_STALE, appending(store, STALE_SHARE))]
        await store.close()


def _goal(says: str, figure: str, **limit: float) -> Goal:
    return Goal("P4", says, Figure(SOME_STALE, figure), Figure(NONE_STALE, figure), **limit)


GROUP = Group(
    "Stale appends",
    [
        _goal("good appends a second among 20 % stale ones, of those among none", "per_second", least=0.8),
        _goal("p99 of good appends among 20 % stale ones, of those among none", "p99_ms", most=2),
    ],
    open_cells,
)
