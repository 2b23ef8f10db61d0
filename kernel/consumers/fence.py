"""The fence: locked rows that let one process at a time work on a partition, even when another wakes from a stop."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import asyncpg

from kernel.consumers import checkpoints
from kernel.consumers.checkpoints import Locked
from kernel.consumers.passing import FenceLost
from kernel.consumers.records import Partition
from kernel.store.connections import connect, is_away, is_gone
from kernel.tasks import happens

PING_SECONDS = 1.0
# Less than the 4 s after which the server ends a transaction that asks nothing (kernel.store.connections).
SILENT_SECONDS_MAX = 3.0
ANSWER_SECONDS_MAX = 1.5  # at the end of a block, by when the connection is given up


class Held:
    """The partitions of one batch, locked until the block ends."""

    def __init__(self, connection: asyncpg.Connection, locked: Locked) -> None:
        self.connection = connection
        self.next_offsets, self.marks, self.has_parked, self.has_skips = locked
        self._heard_at = time.monotonic()

    def check(self) -> None:
        """Raises FenceLost. To be called before each effect: a process that was stopped must not go on where it was."""
        if time.monotonic() - self._heard_at > SILENT_SECONDS_MAX:
            raise FenceLost

    @asynccontextmanager
    async def kept_alive(self) -> AsyncIterator[None]:
        """While the block works elsewhere, the transaction asks once a second. The block does not use it."""
        over = asyncio.Event()
        pings = asyncio.create_task(self._ping(over))
        try:
            yield
        finally:
            over.set()  # Not a cancel: that would cut off a question that is under way, and the connection with it.
            if not (await asyncio.wait([pings], timeout=ANSWER_SECONDS_MAX))[0]:
                self.connection.terminate()
                await asyncio.wait([pings])

    async def _ping(self, over: asyncio.Event) -> None:
        while not self.connection.is_closed():
            if await happens(over, PING_SECONDS):
                return
            asked_at = time.monotonic()
            try:
                await self.connection.execute("select 1")
            except Exception as error:
                if not is_away(error):
                    raise
                return  # The silence speaks for itself; the next statement of the block raises.
            self._heard_at = asked_at


class Fence:
    """One connection of the consumer's own, opened when needed and again when lost. For one user at a time."""

    def __init__(self, database_url: str, service: str, consumer: str) -> None:
        self._database_url = database_url
        self._service = service
        self._consumer = consumer
        self._connection: asyncpg.Connection | None = None

    async def connection(self) -> asyncpg.Connection:
        """Raises one of LOST when the database cannot be reached."""
        if self._connection is None or self._connection.is_closed():
            role, path = f"{self._service}_api", f"{self._service}, public"
            # A checkpoint that a crash forgets is a batch taken again, whose commands are known by their requests; what
            # is parked goes with its checkpoint. So these commits need not wait for the disk.
            self._connection = await connect(self._database_url, role=role, search_path=path, synchronous_commit="off")
        return self._connection

    @asynccontextmanager
    async def hold(self, partitions: Iterable[Partition]) -> AsyncIterator[Held]:
        """Locks the partitions, commits at the end of the block, rolls back when it raises."""
        connection = await self.connection()
        transaction = connection.transaction()
        try:
            await transaction.start()
            yield Held(connection, await checkpoints.lock(connection, self._consumer, partitions))
            await transaction.commit()
        except BaseException as error:
            # A server that hangs would never answer a rollback; one that is read-only would stay so for this session.
            if isinstance(error, Exception) and not is_gone(error) and not connection.is_closed():
                await transaction.rollback()
            else:
                self.renew()
            raise

    def renew(self) -> None:
        """Throws the connection away, for it may be dead without knowing; the next use opens another."""
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None
