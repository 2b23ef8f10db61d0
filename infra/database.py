"""Prepare a database for the services: their schemas, their roles and the extension they need, and no table."""

from pathlib import Path

import asyncpg

SERVICES = ("age_verification", "messaging", "moderation", "scheduling", "response_sla")

SCRIPT = Path(__file__).with_name("database.sql")
ATTEMPTS_MAX = 5
CONNECT_SECONDS = 10.0
STATEMENT_SECONDS = 60.0

# Roles belong to the whole cluster, the advisory lock to one database: two databases of a cluster prepared at once can
# meet in a role's catalog row. The one that comes second finds it there at its next attempt.
MET_ANOTHER = (asyncpg.UniqueViolationError, asyncpg.DuplicateObjectError, asyncpg.InternalServerError)


async def prepare(database_url: str) -> None:
    """Create what is missing for every service and grant its roles to the login of the URL; changes nothing twice.

    The login needs CREATEROLE and CREATE on the database, or to be a superuser. Afterwards a process connects with that
    login and names its role as a startup parameter (asyncpg: `server_settings={"role": "messaging_api"}`).

    Raises asyncpg.PostgresError when the login may not do this, OSError when nobody answers at the URL.
    """
    connection = await asyncpg.connect(database_url, timeout=CONNECT_SECONDS, command_timeout=STATEMENT_SECONDS)
    try:
        for attempt in range(1, ATTEMPTS_MAX + 1):
            try:
                await prepare_once(connection)
            except MET_ANOTHER:
                if attempt == ATTEMPTS_MAX:
                    raise
            else:
                return
    finally:
        await connection.close()


async def prepare_once(connection: asyncpg.Connection) -> None:
    """Run the script in one transaction; raises asyncpg.PostgresError, and then nothing of it has happened."""
    async with connection.transaction():
        await connection.execute("select set_config('holdspace.services', $1, true)", ",".join(SERVICES))
        await connection.execute(SCRIPT.read_text())
