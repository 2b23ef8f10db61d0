"""Builds a read model again beside the live one and swaps the two. Replay has no side effects: it writes rows only."""

from collections.abc import Callable
from dataclasses import dataclass

import asyncpg

from kernel.facts import FactTypes
from kernel.read_model import ReadModel, create, digest, project
from kernel.store.connections import connect

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
        await connection.close()
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
    try:
        if not await connection.fetchval(
            "select pg_try_advisory_lock(hashtext('holdspace.rebuild'), hashtext($1))", service
        ):
            raise RuntimeError(f"another rebuild of {service} is under way")
        await connection.execute(f"drop schema if exists {service}_rebuild cascade")
        await connection.execute(f"create schema {service}_rebuild")
        await create(connection, service, model, f"{service}_rebuild")
        live = f"select position from {service}_read.read_model_checkpoint"  # noqa: S608 - the name of our own schema
        position = 0
        # Never past the live read model, which it is compared with.
        while (target := await connection.fetchval(live)) - position > SWAP_FACTS_MAX:
            position += await project(connection, model, fact_types)
            progress(position, target)
        return await _catch_up_and_swap(connection, service, model, fact_types, progress, even_if_different)
    finally:
        await connection.close()


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
            raise DigestsDiffer(f"{service}: live {result.live_digest}, rebuilt {result.rebuilt_digest}")
        await connection.execute(f"drop schema {live} cascade")
        await connection.execute(f"alter schema {service}_rebuild rename to {live}")
    return result


async def reader(database_url: str, service: str, schema: str) -> asyncpg.Connection:
    """Returns a connection that projects into the schema."""
    limits = {"transaction_timeout": "0", "statement_timeout": "0", "lock_timeout": "30s", "timezone": "UTC"}
    return await connect(database_url, role=f"{service}_reader", search_path=f"{schema}, {service}, public", **limits)
