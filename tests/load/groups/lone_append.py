"""P3: what an append costs a caller who has the store to himself, and what a function for his append alone costs."""

import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import asyncpg

from kernel.store.append_call import APPEND, arguments
from kernel.store.connections import connect
from kernel.store.postgres import APPENDING, PostgresStore
from tests.load import pgbench
from tests.load.groups.append import FACTS_BEFORE, Uncounted, an_append, appending, fill
from tests.load.load import Work, for_a_while
from tests.load.measuring import Cell, Figure, Goal, Group, Options
from tests.load.stack import Stack

BARE = "asyncpg, one row in its own transaction"
LONE = "append, one caller"
DIRECT = "the function append, called without the store's queue"
FOR_ONE = "a function for one append, called without the store's queue"
INSERT = "insert into reference (stream, version, fact) values ($1, 1, $2) returning position"

# What one append of one fact promises, with nothing else a batch may need: order, request, version.
ONE_APPEND = """
create function append_one(asked text, expected integer, asked_key bytea, asked_digest bytea, sealed bytea)
returns bigint language plpgsql as $$
declare
    head bigint;
    recorded timestamptz;
begin
    perform pg_advisory_xact_lock('facts'::regclass::oid::bigint);
    select f.position, greatest(clock_timestamp(), f.recorded_at) into head, recorded
    from facts f order by f.position desc limit 1;
    if exists (select from accepted_request(asked_key, true))
        or expected <> coalesce((select max(f.version) from facts_of(asked) f where f.version >= expected), 0)
    then
        return null;
    end if;
    insert into facts (position, stream, version, recorded_at, fact)
    values (head + 1, asked, expected + 1, recorded, sealed);
    insert into requests_call (key, digest, stream, version) values (asked_key, asked_digest, asked, expected + 1);
    return head + 1;
end
$$"""


def alone(name: str, work: Work) -> Cell:
    return Cell(name, lambda: for_a_while([work]))


@asynccontextmanager
async def open_cells(stack: Stack, options: Options) -> AsyncIterator[Sequence[Cell]]:
    fact = random.randbytes(pgbench.FACT_BYTES)
    async with stack.database("messaging") as database_url:
        await pgbench.create_table(database_url)
        await fill(database_url, FACTS_BEFORE)
        store = PostgresStore(database_url, "messaging", Uncounted())
        await store.open()
        bare = await asyncpg.connect(database_url)
        appends = await connect(database_url, role="messaging_owner", search_path="messaging", **APPENDING)
        await appends.execute(ONE_APPEND)

        async def insert() -> None:
            await bare.fetchrow(INSERT, f"conversation-{random.getrandbits(128):032x}", fact)

        async def call() -> None:
            await appends.fetchrow(APPEND, *arguments([an_append(fact)]))

        async def call_for_one() -> None:
            append = an_append(fact)
            columns = append.stream, append.expected_version, append.request.key, append.request.digest, fact
            assert await appends.fetchval("select append_one($1, $2, $3, $4, $5)", *columns)

        yield [
            alone(BARE, insert),
            Cell(LONE, appending(store, 1)),
            alone(DIRECT, call),
            alone(FOR_ONE, call_for_one),
        ]
        await appends.close()
        await bare.close()
        await store.close()


def _of_bare(cell: str, says: str, most: float | None = None) -> Goal:
    return Goal(
        "P3", f"{says}, p50, of a bare insert by asyncpg", Figure(cell, "p50_ms"), Figure(BARE, "p50_ms"), most=most
    )


GROUP = Group(
    "A lone caller",
    [
        _of_bare(LONE, "append by a lone caller", 1.2),
        _of_bare(DIRECT, DIRECT),
        _of_bare(FOR_ONE, FOR_ONE),
        Goal("P3", "append by a lone caller, p50 in ms", Figure(LONE, "p50_ms")),
    ],
    open_cells,
)
