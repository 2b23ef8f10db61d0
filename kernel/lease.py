"""A lease: of all processes of a service, one does this work at a time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from kernel.store.connections import close, connect, is_away


class LeaseLost(Exception):  # noqa: N818 - names the finding
    """The session that held the lease is gone; another process may hold it by now."""


class Lease:
    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def renew(self) -> None:
        """Raises LeaseLost when the session does not answer or may not write. Call it before each piece of work."""
        try:
            read_only = await self._connection.fetchval("select current_setting('transaction_read_only')", timeout=3)
        except Exception as error:
            if not is_away(error):
                raise
            raise LeaseLost(f"{type(error).__name__}: {error}") from error
        if read_only == "on":
            raise LeaseLost("the server is read-only")


@asynccontextmanager
async def lease(database_url: str, service: str, name: str, *, retry_seconds: float = 1.0) -> AsyncIterator[Lease]:
    """Waits for the lease and holds it for the block. A dead holder's session ends by its keepalives, within 10 s.

    Raises one of `kernel.store.connections.LOST` when the database cannot be reached.
    """
    connection = await connect(database_url, role=f"{service}_api", search_path=f"{service}, public")
    try:
        while not await connection.fetchval(  # noqa: ASYNC110 - another process holds it
            "select pg_try_advisory_lock(hashtext($1), hashtext($2))", f"holdspace.{service}", name
        ):
            await asyncio.sleep(retry_seconds)
        yield Lease(connection)
    finally:
        await close(connection)
