"""Connections to Postgres: the role, the schema, and limits that end a session whose peer is gone."""

import asyncio

import asyncpg

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

# asyncpg says it this way when the connection goes between the two halves of a statement, or the pool was closed.
GONE = (*LOST, asyncpg.InterfaceError)

# The transaction was rolled back through no fault of its own: it may be tried again.
TRANSIENT = (
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.LockNotAvailableError,
    asyncpg.InsufficientResourcesError,
)

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


async def connect(database_url: str, *, role: str, search_path: str, **limits: str) -> asyncpg.Connection:
    """Returns a connection of the role. Membership of the login decides which roles it may take.

    Raises one of LOST, or an asyncpg error that names what the login lacks.
    """
    settings = {**SESSION, **limits, "role": role, "search_path": search_path, "application_name": role}
    async with asyncio.timeout(5):
        return await asyncpg.connect(database_url, timeout=3, command_timeout=12, server_settings=settings)
