"""A service's store and read model, as operators look at them: facts and rows, never attachments."""

import importlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg

from infra.cli.errors import FAILED, CommandError, using_database
from kernel.sql import queries
from kernel.store.connections import connect

if TYPE_CHECKING:
    from kernel.service import Definition

SQL = queries(Path(__file__).with_name("queries.sql"))


@asynccontextmanager
async def reading(url: str, service: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection that reads a service's facts and its read model."""
    async with connected(url, service, "reader") as connection:
        yield connection


@asynccontextmanager
async def connected(url: str, service: str, role: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection with one of the service's roles: reader, api or owner. Raises CommandError as `using_database`."""
    with using_database(url):
        path = f"{service}, {service}_read, public"
        connection = await connect(url, role=f"{service}_{role}", search_path=path)
        try:
            yield connection
        finally:
            await connection.close()


def definition_of(service: str) -> "Definition":
    """Returns what the service declares in its wiring: its facts and its read model.

    Importing a service takes a second, so it is not done for commands that only call one.
    """
    from kernel.service import Definition

    try:
        wiring = importlib.import_module(f"services.{service}.wiring")
    except ModuleNotFoundError as error:
        raise CommandError(f"{service} is not part of this installation: {error}", FAILED) from error
    return next(declared for declared in vars(wiring).values() if isinstance(declared, Definition))
