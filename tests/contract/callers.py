"""Callers of the Postgres store that repeat what failed, and what must be true of the log when they are done."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import asyncpg

from kernel.errors import StoreUnavailable
from kernel.store.interface import Append, Appended, Outcome, Recorded, Request
from kernel.store.postgres import PostgresStore
from tests.contract.conftest import Counted

TRIES_MAX = 200


def append(stream: str, expected: int = 0, **more: object) -> Append:
    fact = secrets.token_hex(8).encode()
    return Append(stream, expected, [fact], Request(secrets.token_bytes(32), b""), **more)  # type: ignore[arg-type]


@asynccontextmanager
async def open_store(database_url: str) -> AsyncIterator[PostgresStore]:
    store = PostgresStore(database_url, "messaging", Counted())
    await store.open()
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def session(database_url: str, role: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(
        database_url, server_settings={"role": role, "search_path": "messaging, public", "lock_timeout": "10s"}
    )
    try:
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def somebody_else_appending(database_url: str) -> AsyncIterator[None]:
    """Holds the append lock for the block."""
    async with session(database_url, "messaging_api") as other, other.transaction():
        await other.execute("select pg_advisory_xact_lock('facts'::regclass::oid::bigint)")
        yield


async def until_it_is_in(store: PostgresStore, asked: Append) -> Appended:
    """Repeats the append with its request, as a caller does whose call failed, and takes the version that is next."""
    for _ in range(TRIES_MAX):
        try:
            told = await store.append(asked)
        except StoreUnavailable:
            await asyncio.sleep(0.01)
            continue
        if told.outcome is not Outcome.STALE:
            return told
        try:
            asked = asked._replace(expected_version=len(await store.read_stream(asked.stream)))
        except StoreUnavailable:
            await asyncio.sleep(0.01)
    raise AssertionError(f"{asked.stream} was refused {TRIES_MAX} times")


def assert_whole(log: Sequence[Recorded], appends: Sequence[Append]) -> None:
    """Every append is there once, positions and versions are dense, and time rises with the position."""
    assert sorted(recorded.fact for recorded in log) == sorted(fact for a in appends for fact in a.facts)
    assert [recorded.position for recorded in log] == list(range(1, len(log) + 1))
    assert [recorded.recorded_at for recorded in log] == sorted(recorded.recorded_at for recorded in log)
    versions: dict[str, list[int]] = {}
    for recorded in log:
        versions.setdefault(recorded.stream, []).append(recorded.version)
    assert all(found == list(range(1, len(found) + 1)) for found in versions.values())


class Load:
    """Four processes' worth of stores with callers that repeat what failed, on streams of their own and shared ones."""

    def __init__(self, stores: Sequence[PostgresStore]) -> None:
        self._stores = stores
        self.appends: list[Append] = []

    async def run(self, seconds: float) -> None:
        ends_at = asyncio.get_running_loop().time() + seconds
        async with asyncio.TaskGroup() as group:
            for caller in range(24):
                group.create_task(self._call(caller, ends_at))

    async def _call(self, caller: int, ends_at: float) -> None:
        calls = 0
        while asyncio.get_running_loop().time() < ends_at:
            shared = calls % 3 == 0
            asked = append(f"shared-{calls % 2}" if shared else f"own-{caller}-{calls}")
            self.appends.append(asked)
            await until_it_is_in(self._stores[caller % len(self._stores)], asked)
            calls += 1


@asynccontextmanager
async def four_stores(database_url: str) -> AsyncIterator[list[PostgresStore]]:
    stores = [PostgresStore(database_url, "messaging", Counted()) for _ in range(4)]
    for store in stores:
        await store.open()
    try:
        yield stores
    finally:
        for store in stores:
            await store.close()


async def whole_log(store: PostgresStore) -> list[Recorded]:
    log: list[Recorded] = []
    for _ in range(TRIES_MAX):
        try:
            page = await store.read_all(len(log), 1_000)
        except StoreUnavailable:  # The session it was to read with was ended before.
            continue
        if not page:
            break
        log += page
    return log
