"""The servers of a bench: a PostgreSQL and a Kafka of its own, as durable as in production, in a temporary folder."""

import asyncio
import os
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import psutil

from infra.database import prepare
from infra.local import keys, servers
from infra.local.postgres import SUPERUSER
from infra.local.servers import Servers
from infra.local.stack_error import StackError
from kernel.migrate import migrate

BUFFER_BYTES_MAX = 4 * 1024**3
LOG_GIB = 6  # what nine rounds of appends at full rate write
SEGMENTS_A_GIB = 64


@dataclass(frozen=True, slots=True)
class Stack:
    """`folder` is for logs and credentials of services that a bench starts."""

    servers: Servers
    folder: Path
    credentials: Path

    @asynccontextmanager
    async def database(self, *services: str) -> AsyncIterator[str]:
        """Yields the URL of a new database with the schemas of these services; it is dropped at the end."""
        name = f"bench_{secrets.token_hex(6)}"
        await self.administer(f"create database {name} owner holdspace")
        url = _with(self.servers.database_url, database=name)
        try:
            if services:
                await prepare(url)
            for service in services:
                await migrate(url, service)
            yield url
        finally:
            await self.administer(f"drop database {name} with (force)")

    async def administer(self, sql: str) -> None:
        """Runs one statement as the superuser."""
        connection = await asyncpg.connect(self.superuser_url)
        try:
            await connection.execute(sql)
        finally:
            await connection.close()

    async def configure(self) -> None:
        """Lets buffers and the write-ahead log be as large as on a server of production size: effective at its next
        start. Else checkpoints and the way to the system's cache would be what is measured.
        """
        buffers = min(psutil.virtual_memory().total // 4, BUFFER_BYTES_MAX) // 1024**2
        log = f"min_wal_size = '{LOG_GIB}GB'", f"max_wal_size = '{2 * LOG_GIB}GB'"
        for setting in (f"shared_buffers = '{buffers}MB'", *log, "checkpoint_timeout = '30min'"):
            await self.administer(f"alter system set {setting}")

    async def age_log(self) -> None:
        """Lets the write-ahead log have segments to write over, as that of a server that has run for a while. A new one
        is filled with zeros first: nothing commits for 20 to 50 ms, twice a second when it is appended to at full rate.
        """
        connection = await asyncpg.connect(self.superuser_url)
        try:
            for _ in range(LOG_GIB * SEGMENTS_A_GIB):
                # A segment with nothing in it would not be left.
                await connection.execute("select pg_logical_emit_message(false, 'bench', 'aging')")
                await connection.execute("select pg_switch_wal()")
            await connection.execute("checkpoint", timeout=600)
        finally:
            await connection.close()

    @property
    def superuser_url(self) -> str:
        return with_login(self.servers.database_url, SUPERUSER)


@contextmanager
def running(room_gib: int, say: Callable[[str], None]) -> Iterator[Stack]:
    """Starts the servers, and stops them whatever happens. Raises StackError when something is in the way."""
    for variable in (servers.DATABASE_VARIABLE, servers.KAFKA_VARIABLE):
        if os.environ.get(variable):
            raise StackError(f"{variable} is set: a bench fills and kills servers, so it starts its own. Unset it.")
    free_gib = shutil.disk_usage(tempfile.gettempdir()).free // 1024**3
    if free_gib < room_gib:
        raise StackError(f"{tempfile.gettempdir()} has {free_gib} GiB free; this bench needs {room_gib}.")
    with tempfile.TemporaryDirectory(prefix="holdspace-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # PostgreSQL gives up root for another account, which must pass through.
        try:
            where = servers.up(folder, say)
            credentials = folder / "credentials"
            credentials.mkdir()
            keys.create(credentials)
            stack = Stack(where, folder, credentials)
            asyncio.run(stack.configure())
            servers.stop_server(folder, "postgres")
            servers.start_server(folder, "postgres")
            yield stack
        finally:
            servers.down(folder)


def with_login(url: str, login: str) -> str:
    """Returns the URL with another login."""
    return _with(url, login=login)


def _with(url: str, *, login: str | None = None, database: str | None = None) -> str:
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    netloc = f"{login}@{host}" if login else parts.netloc
    return urlunsplit(parts._replace(netloc=netloc, path=f"/{database}" if database else parts.path))
