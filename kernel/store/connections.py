"""Connections to Postgres: the role, the schema, and limits that end a session whose peer is gone."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import asyncpg

from kernel.errors import StoreUnavailable

# The connection is gone, or nobody answered: what was under way may have taken effect. A server that is read-only was
# the primary a moment ago, and another one is.
LOST = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.InternalClientError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.exceptions.ConnectionDoesNotExistError,
)

# The transaction was rolled back through no fault of its own: it may be tried again.
TRANSIENT = (
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.LockNotAvailableError,
    asyncpg.InsufficientResourcesError,
)

CLOSE_SECONDS_MAX = 2.0

SESSION = {
    "statement_timeout": "10s",
    "lock_timeout": "3s",
    "idle_in_transaction_session_timeout": "4s",
    "transaction_timeout": "20s",
    "tcp_user_timeout": "8000",
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "2",
    "jit": "off",
}


def is_gone(error: BaseException) -> bool:
    """Whether an error says that its connection is of no more use: one of LOST, or a connection that was closed.

    asyncpg tells the latter as InterfaceError; of those only wrong arguments (a ValueError) are the caller's fault.
    """
    is_closed = isinstance(error, asyncpg.InterfaceError) and not isinstance(error, ValueError)
    return is_closed or isinstance(error, LOST)


def is_away(error: BaseException) -> bool:
    """Whether the same may succeed later: the connection is gone, or the transaction was rolled back by no fault."""
    return is_gone(error) or isinstance(error, TRANSIENT)


@contextmanager
def unavailable() -> Iterator[None]:
    """Raises StoreUnavailable for what `is_away` in the block."""
    try:
        yield
    except Exception as error:
        if not is_away(error):
            raise
        raise StoreUnavailable(f"{type(error).__name__}: {error}") from error


async def fetch(pool: asyncpg.Pool, sql: str, *parameters: object, seconds_max: float = 12) -> list[Any]:
    """Returns rows. Raises StoreUnavailable.

    A connection that was cut off in a query is thrown away: asyncpg would wait for its server to take notice, which one
    that hangs never does.
    """
    with unavailable():
        async with pool.acquire() as connection:
            try:
                rows: list[Any] = await connection.fetch(sql, *parameters, timeout=seconds_max)
            except (asyncio.CancelledError, TimeoutError):
                connection.terminate()
                raise
            except asyncpg.ReadOnlySQLTransactionError:
                await pool.expire_connections()  # Those sessions would stay read-only.
                raise
    return rows


async def close(connection: asyncpg.Connection | None) -> None:
    """Closes it, politely if the server answers within 2 s."""
    if connection is None:
        return
    try:
        async with asyncio.timeout(CLOSE_SECONDS_MAX):  # asyncpg's own does not cover a query that is under way
            await connection.close()
    except Exception as error:
        if not is_away(error):
            raise
        connection.terminate()


async def connect(database_url: str, *, role: str, search_path: str, **limits: str) -> asyncpg.Connection:
    """Returns a connection of the role to a server that takes writes: one that does not was the primary a moment ago,
    and a session that began meanwhile would stay read-only. Membership of the login decides which roles it may take.

    Raises one of LOST, or an asyncpg error that names what the login lacks.
    """
    settings = {**SESSION, **limits, "role": role, "search_path": search_path, "application_name": role}
    async with asyncio.timeout(5):
        return await asyncpg.connect(
            database_url, timeout=3, command_timeout=12, server_settings=settings, target_session_attrs="read-write"
        )
