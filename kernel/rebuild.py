"""Builds a read model again beside the live one and swaps the two. Replay has no side effects: it writes rows only."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial

import asyncpg

from kernel.facts import FactTypes
from kernel.projected import Rows
from kernel.read_model import TABLES, ReadModel, create, create_indexes, digest, project, write
from kernel.replay import replay
from kernel.store.connections import close, connect

WRITE_ROWS_MIN = 10_000  # and up to a page more
SWAP_FACTS_MAX = 10_000  # what is left to catch up on while the live read model stands still


class DigestsDiffer(Exception):  # noqa: N818 - names the finding
    """The rebuilt rows are not those of the live read model, though both have one definition; nothing was swapped."""


@dataclass(frozen=True, slots=True)
class Rebuilt:
    position: int
    live_digest: str
    rebuilt_digest: str


async def ensure(database_url: str, service: str, model: ReadModel, fact_types: FactTypes) -> None:
    """Creates the read model, or builds it again where its definition changed."""
    connection = await reader(database_url, service, f"{service}_read")
    try:
        await create(connection, service, model, f"{service}_read")
        definition = await connection.fetchval("select definition from read_model_checkpoint")
    finally:
        await close(connection)
    if definition != model.definition:
        await rebuild(database_url, service, model, fact_types, lambda position, head: None)


async def rebuild(
    database_url: str,
    service: str,
    model: ReadModel,
    fact_types: FactTypes,
    progress: Callable[[int, int], None],
    *,
    even_if_different: bool = False,
) -> Rebuilt:
    """Rebuilds up to where the live one is, and swaps. `progress(position, target)` is told after each page.

    Raises DigestsDiffer, unless the definition changed or it was asked for.
    """
    connection = await reader(database_url, service, f"{service}_rebuild")
    facts = await reader(database_url, service, service)
    try:
        if not await connection.fetchval(
            "select pg_try_advisory_lock(hashtext('holdspace.rebuild'), hashtext($1))", service
        ):
            raise RuntimeError(f"another rebuild of {service} is under way")
        await connection.execute(f"drop schema if exists {service}_rebuild cascade")
        await connection.execute(f"create schema {service}_rebuild")
        await create(connection, service, model, f"{service}_rebuild", with_indexes=False)
        live = f"select position from {service}_read.read_model_checkpoint"  # noqa: S608 - the name of our own schema
        position = 0
        # Never past the live read model, which it is compared with.
        while (target := await connection.fetchval(live)) - position > SWAP_FACTS_MAX:
            await build(connection, facts, model, fact_types, position, target, partial(_tell, progress, target))
            position = target
        await create_indexes(connection, model)
        return await _catch_up_and_swap(connection, service, model, fact_types, progress, even_if_different)
    finally:
        await close(facts)
        await close(connection)


async def build(
    connection: asyncpg.Connection,
    facts: asyncpg.Connection,
    model: ReadModel,
    fact_types: FactTypes,
    after: int,
    until: int,
    progress: Callable[[int], None] = lambda position: None,
) -> None:
    """Takes the facts above `after` and up to `until` into rows, many at a time; the server writes some while the next
    are read. `connection` is that of the rows, `facts` another one. Memory holds two times WRITE_ROWS_MIN rows.
    """

    async def write_rows(rows: Rows) -> None:
        async with connection.transaction():
            await write(connection, model, rows)
        progress(rows.position)

    rows, writing = model.rows(fact_types), None
    try:
        async with aclosing(replay(facts, after, until)) as pages:
            async for page in pages:
                rows.take(page)
                if rows.held >= WRITE_ROWS_MIN or rows.position == until:
                    if writing is not None:
                        await writing
                    writing = asyncio.create_task(write_rows(rows))
                    rows = model.rows(fact_types)
        if writing is not None:
            await writing
    finally:
        if writing is not None and not writing.done():
            writing.cancel()
            await asyncio.wait([writing])


def _tell(progress: Callable[[int, int], None], target: int, position: int) -> None:
    progress(position, target)


async def _catch_up_and_swap(
    connection: asyncpg.Connection,
    service: str,
    model: ReadModel,
    fact_types: FactTypes,
    progress: Callable[[int, int], None],
    even_if_different: bool,
) -> Rebuilt:
    live = f"{service}_read"
    async with connection.transaction():
        # The live projection waits here until the swap; whatever comes after reads the new rows. It waits for the table
        # and not for its row: whoever waits for a row has locked the table, which then could not be dropped.
        await connection.execute(f"lock table {live}.read_model_checkpoint in exclusive mode")
        target, definition = await connection.fetchrow(
            f"select position, definition from {live}.read_model_checkpoint"  # noqa: S608 - the name of our own schema
        )
        position = await connection.fetchval("select position from read_model_checkpoint")
        while position < target:
            position += await project(connection, model, fact_types, min(2_000, target - position))
            progress(position, target)
        result = Rebuilt(target, await digest(connection, live), await digest(connection, f"{service}_rebuild"))
        if result.live_digest != result.rebuilt_digest and definition == model.definition and not even_if_different:
            differing = await _differences(connection, live, f"{service}_rebuild")
            raise DigestsDiffer(f"{service}: live {result.live_digest}, rebuilt {result.rebuilt_digest}; {differing}")
        await connection.execute(f"drop schema {live} cascade")
        await connection.execute(f"alter schema {service}_rebuild rename to {live}")
    return result


async def _differences(connection: asyncpg.Connection, live: str, rebuilt: str) -> str:
    """Returns how many rows of each table only one of the two has."""
    told = []
    for (table,) in await connection.fetch(TABLES, live):
        only = "select count(*) from (select * from {}.{} except all select * from {}.{}) alone"
        both_ways = ((live, table, rebuilt, table), (rebuilt, table, live, table))
        counts = [await connection.fetchval(only.format(*names)) for names in both_ways]
        if any(counts):
            told.append(f"{table}: {counts[0]} rows only live, {counts[1]} only rebuilt")
    return ", ".join(told)


async def reader(database_url: str, service: str, schema: str) -> asyncpg.Connection:
    """Returns a connection that projects into the schema."""
    limits = {"transaction_timeout": "0", "statement_timeout": "0", "lock_timeout": "30s", "timezone": "UTC"}
    # Statements meet rows by their keys. On a table that grew since it was analyzed the planner would read all of it.
    plans = {"enable_hashjoin": "off", "enable_mergejoin": "off", "enable_seqscan": "off"}
    search_path = f"{schema}, {service}, public"
    return await connect(database_url, role=f"{service}_reader", search_path=search_path, **limits, **plans)
