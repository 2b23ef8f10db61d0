"""Who published a record: a service, one database of it, and that database's epoch."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg

from kernel.errors import WrongSetting

READ_EPOCH = "select epoch from store_identity"
READ_RELAYED = "select position from relay_checkpoint"
RELAYED_UP_TO = "update relay_checkpoint set position = $1"
RAISE_EPOCH = "update store_identity set epoch = epoch + 1 returning epoch"

# The session that holds this lock is the one active relay of its schema.
TRY_RELAY_LOCK = "select pg_try_advisory_lock(hashtext('holdspace.' || $1), hashtext('relay'))"
FREE_RELAY_LOCK = "select pg_advisory_unlock(hashtext('holdspace.' || $1), hashtext('relay'))"

LOCK_POLL_SECONDS = 0.5
RECONCILE_LOCK_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Source:
    """Its text, `<service>/<cell>/<epoch>`, travels as a header and in watermarks."""

    service: str
    cell: str
    epoch: int

    def __str__(self) -> str:
        return f"{self.service}/{self.cell}/{self.epoch}"


async def read_source(connection: asyncpg.Connection, service: str, cell: str) -> Source:
    """Returns the source that this store's facts have from now on, until the next reconcile."""
    return Source(service, cell, int(await connection.fetchval(READ_EPOCH)))


async def reconcile(connection: asyncpg.Connection, service: str) -> int:
    """After a restore from backup: raises the epoch and returns it.

    Consumers take the store for a new source, so that its facts are not mistaken for those that the lost tail of the
    log had at the same positions. The relay sends again from the restored checkpoint on; commands know their requests
    and do nothing twice. Takes a connection of the schema's owner. Raises WrongSetting while a relay is active.
    """
    async with no_relay(connection, service):
        return int(await connection.fetchval(RAISE_EPOCH))


async def publish_again(connection: asyncpg.Connection, after: int) -> int:
    """Has the relay publish everything after a position once more, and returns where it was: after a topic was made
    anew. Consumers know by its position what they have taken. To be called while there is no relay.
    """
    former = int(await connection.fetchval(READ_RELAYED))
    await connection.execute(RELAYED_UP_TO, min(after, former))
    return former


@asynccontextmanager
async def no_relay(connection: asyncpg.Connection, service: str) -> AsyncIterator[None]:
    """Keeps relays from starting until the block ends. Raises WrongSetting while one is active."""
    deadline = asyncio.get_running_loop().time() + RECONCILE_LOCK_SECONDS
    while not await connection.fetchval(TRY_RELAY_LOCK, service):
        if asyncio.get_running_loop().time() > deadline:
            raise WrongSetting(f"a relay of {service} is active: stop it first")
        await asyncio.sleep(LOCK_POLL_SECONDS)
    try:
        yield
    finally:
        await connection.execute(FREE_RELAY_LOCK, service)
