"""Reads of the read model, after it has reached what the caller wrote."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import asyncpg

from kernel.errors import Rejected, StoreUnavailable
from kernel.sql import queries
from kernel.store.connections import connect, fetch, unavailable

REACTION_SECONDS_MAX = 2.0
POSITION = "select position from read_model_checkpoint"


class Queries:
    """The named reads of a service's queries.sql."""

    def __init__(self, database_url: str, service: str, path: Path, *, connections_max: int = 8) -> None:
        self._database_url = database_url
        self._service = service
        self._sql: Mapping[str, str] = queries(path)
        self._connections_max = connections_max
        self._pool: asyncpg.Pool | None = None

    async def open(self) -> None:
        """Raises StoreUnavailable when the database does not answer."""
        with unavailable():
            self._pool = await asyncpg.create_pool(  # min_size: as in the store
                self._database_url, min_size=0, max_size=self._connections_max, connect=self._connect
            )
            await self._pool.fetchval("select 1", timeout=5)

    async def close(self) -> None:
        if self._pool is not None:
            await self._pool.close()

    async def rows(self, name: str, *parameters: object) -> list[Any]:
        """Runs a named query. Raises StoreUnavailable when the database cannot be reached or has no read model yet."""
        try:
            return await self._fetch(self._sql[name], *parameters)
        except asyncpg.UndefinedTableError as error:
            raise StoreUnavailable(str(error)) from error

    async def position(self) -> int:
        """Returns the position of the store that the read model has reached, 0 before it was ever created."""
        try:
            rows = await self._fetch(POSITION)
        except asyncpg.UndefinedTableError:
            return 0
        return int(rows[0][0]) if rows else 0

    async def wait_for(self, position: int, deadline: float) -> None:
        """Returns when the read model has reached the position. `deadline` is on the event loop's clock, seconds.

        Raises Rejected NOT_YET_VISIBLE when it has not by then.
        """
        pause = 0.002
        while await self.position() < position:
            if asyncio.get_running_loop().time() + pause >= deadline:
                raise Rejected("NOT_YET_VISIBLE", "at_least")
            await asyncio.sleep(pause)
            pause = min(0.05, pause * 1.5)

    async def reached(self, position: int) -> None:
        """For a reaction that reads rows: waits a while until the read model is at the position.

        Raises StoreUnavailable when it stays behind; the reaction is then tried again.
        """
        try:
            await self.wait_for(position, asyncio.get_running_loop().time() + REACTION_SECONDS_MAX)
        except Rejected:
            raise StoreUnavailable("the read model is behind") from None

    async def _fetch(self, sql: str, *parameters: object) -> list[Any]:
        if self._pool is None:
            raise StoreUnavailable("not open")
        return await fetch(self._pool, sql, *parameters)

    async def _connect(self, *_: object, **__: object) -> asyncpg.Connection:
        return await connect(
            self._database_url,
            role=f"{self._service}_api",
            search_path=f"{self._service}_read, {self._service}, public",
        )
