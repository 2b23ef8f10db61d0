"""The session that makes one relay the active one, and everything that relay asks of the store."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import NoReturn

import asyncpg

from kernel.lease import LeaseLost
from kernel.relay.source import LOCK_POLL_SECONDS, TRY_RELAY_LOCK
from kernel.store.connections import connect, is_gone
from kernel.tasks import happens

PING_SECONDS = 1.0
PING_TIMEOUT_SECONDS = 4.0
# A dead node is noticed within 6 s; a stopped process, whose kernel goes on answering, after 5 s without a query. A
# checkpoint that a crash forgets is only a page sent twice, so its commit need not wait for the disk.
LIMITS = {
    "idle_session_timeout": "5s",
    "tcp_keepalives_idle": "2",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "2",
    "tcp_user_timeout": "6000",
    "synchronous_commit": "off",
}

OUTBOX_AGE = """
select coalesce(extract(epoch from clock_timestamp() - (
    select recorded_at from facts where position = (select position + 1 from relay_checkpoint))), 0)"""


class RelaySession:
    """One connection that holds the relay's lease, used by one statement at a time."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection
        self._turn = asyncio.Lock()
        self._notified = asyncio.Event()

    async def fetch(self, sql: str, *arguments: object) -> list[asyncpg.Record]:
        """Raises LeaseLost when the connection is gone: another relay may be active."""
        async with self._turn:
            try:
                return list(await self._connection.fetch(sql, *arguments))
            except Exception as error:
                if not is_gone(error):
                    raise
                raise LeaseLost(f"{type(error).__name__}: {error}") from error

    async def listen(self, channel: str) -> None:
        await self._connection.add_listener(channel, lambda *_: self._notified.set())

    async def wait_for_facts(self, seconds_max: float) -> None:
        """Returns when facts may have been appended, or after the time."""
        await happens(self._notified, seconds_max)
        self._notified.clear()

    async def keep(self, outbox_age_seconds: Callable[[float], None]) -> NoReturn:
        """Asks once a second how old the oldest unsent fact is, whatever the relay is waiting for. Raises LeaseLost."""
        while True:
            asked_at = time.monotonic()
            try:
                async with asyncio.timeout(PING_TIMEOUT_SECONDS):
                    rows = await self.fetch(OUTBOX_AGE)
            except TimeoutError as error:
                raise LeaseLost("the store does not answer") from error
            outbox_age_seconds(max(0.0, float(rows[0][0])))
            await asyncio.sleep(max(0.0, asked_at + PING_SECONDS - time.monotonic()))


@asynccontextmanager
async def relay_session(database_url: str, service: str) -> AsyncIterator[RelaySession]:
    """Waits until no other relay of the service is active, then holds the lease for the block.

    Raises LeaseLost when it goes, or one of `kernel.store.connections.LOST` when the database cannot be reached.
    """
    role, path = f"{service}_reader", f"{service}, public"
    connection = await connect(database_url, role=role, search_path=path, **LIMITS)
    try:
        session = RelaySession(connection)
        while not (await session.fetch(TRY_RELAY_LOCK, service))[0][0]:  # noqa: ASYNC110 - another process holds it
            await asyncio.sleep(LOCK_POLL_SECONDS)
        await session.listen(f"{service}_facts")
        yield session
    finally:
        connection.terminate()  # A polite close could wait for a server that is gone.
