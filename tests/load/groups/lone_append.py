"""P3: what an append costs a caller who has the store to himself."""

import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import asyncpg

from kernel.store.postgres import PostgresStore
from tests.load import pgbench
from tests.load.groups.append import FACTS_BEFORE, Uncounted, appending, fill
from tests.load.load import for_a_while
from tests.load.measuring import Cell, Figure, Goal, Group, Options, Reading
from tests.load.stack import Stack

BARE = "asyncpg, one row in its own transaction"
LONE = "append, one caller"
INSERT = "insert into reference (stream, version, fact) values ($1, 1, $2) returning position"


def inserting(connection: asyncpg.Connection) -> Cell:
    fact = random.randbytes(pgbench.FACT_BYTES)

    async def insert() -> None:
        await connection.fetchrow(INSERT, f"conversation-{random.getrandbits(128):032x}", fact)

    async def measure() -> Reading:
        return await for_a_while([insert])

    return Cell(BARE, measure)


@asynccontextmanager
async def open_cells(stack: Stack, options: Options) -> AsyncIterator[Sequence[Cell]]:
    async with stack.database("messaging") as database_url:
        await pgbench.create_table(database_url)
        await fill(database_url, FACTS_BEFORE)
        store = PostgresStore(database_url, "messaging", Uncounted())
        await store.open()
        connection = await asyncpg.connect(database_url)
        yield [inserting(connection), Cell(LONE, appending(store, 1))]
        await connection.close()
        await store.close()


GROUP = Group(
    "A lone caller",
    [
        Goal(
            "P3",
            "append by a lone caller, p50, of a bare insert by asyncpg",
            Figure(LONE, "p50_ms"),
            Figure(BARE, "p50_ms"),
            most=1.2,
        ),
        Goal("P3", "append by a lone caller, p50 in ms", Figure(LONE, "p50_ms")),
    ],
    open_cells,
)
