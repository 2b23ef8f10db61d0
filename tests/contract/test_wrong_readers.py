"""Readers that look right and lose facts, on the very interleavings on which ours loses none.

A reader keeps the last position it saw and asks for what is above it. That is only right where no fact can appear below
a position already seen, which a sequence does not promise: its numbers are drawn before the commits.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import asyncpg
import pytest

from kernel.store.append_call import APPEND, arguments
from kernel.store.interface import Append, Outcome, Recorded, Request
from kernel.store.postgres import PostgresStore
from tests.contract.conftest import Counted

# With a bigserial, as most event tables are made. The column is what the filter compares; xmin itself would do as well.
SERIAL_TABLE = """
create table serial_facts (
    position    bigserial primary key,
    name        text      not null,
    transaction xid8      not null default pg_current_xact_id()
)"""
ABOVE = "select position, name from serial_facts where position > $1 order by position"
ABOVE_AND_OLDER_THAN_ALL_THAT_RUN = """
select position, name from serial_facts
where position > $1 and transaction < pg_snapshot_xmin(pg_current_snapshot()) order by position"""
BLOCKED = """
select count(*) from pg_locks join pg_database d on d.oid = database
where d.datname = current_database() and locktype = 'advisory' and not granted"""

Read = Callable[[int], Awaitable[list[tuple[int, str]]]]
Write = Callable[[asyncpg.Connection, str], Awaitable[None]]


class Following:
    """A reader with a checkpoint."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._checkpoint = 0
        self.seen: list[str] = []

    async def poll(self) -> None:
        for position, name in await self._read(self._checkpoint):
            self._checkpoint = position
            self.seen.append(name)


def reading(connection: asyncpg.Connection, sql: str) -> Read:
    async def read(after: int) -> list[tuple[int, str]]:
        return [(row["position"], row["name"]) for row in await connection.fetch(sql, after)]

    return read


def reading_ours(store: PostgresStore) -> Read:
    async def read(after: int) -> list[tuple[int, str]]:
        return [(recorded.position, recorded.fact.decode()) for recorded in await store.read_all(after, 1_000)]

    return read


async def write_serial(connection: asyncpg.Connection, name: str) -> None:
    await connection.execute("insert into serial_facts (name) values ($1)", name)


async def write_ours(connection: asyncpg.Connection, name: str) -> None:
    """The function that the store calls, in a transaction whose commit the test delays."""
    append = Append(name, 0, [name.encode()], Request(name.encode(), b""))
    await connection.fetchrow(APPEND, *arguments([append]))


class Writers:
    """Two transactions at once, each on a connection of its own."""

    def __init__(self, one: asyncpg.Connection, other: asyncpg.Connection, watch: asyncpg.Connection) -> None:
        self.one = one
        self.other = other
        self._watch = watch

    async def done_or_blocked(self, task: "asyncio.Task[None]") -> None:
        """Returns when the task is done, or waits for a lock that the other transaction holds."""
        async with asyncio.timeout(5):
            while not task.done() and not await self._watch.fetchval(BLOCKED):  # noqa: ASYNC110 - another session
                await asyncio.sleep(0.01)


async def in_a_transaction(connection: asyncpg.Connection, write: Write, name: str) -> None:
    async with connection.transaction():
        await write(connection, name)


async def a_later_writer_commits_first(writers: Writers, write: Write, reader: Following) -> None:
    async with writers.one.transaction():
        await write(writers.one, "drawn first")
        later = asyncio.create_task(in_a_transaction(writers.other, write, "committed first"))
        await writers.done_or_blocked(later)
        await reader.poll()
    await later


async def the_older_transaction_draws_the_later_position(writers: Writers, write: Write, reader: Following) -> None:
    older = writers.one.transaction()
    await older.start()
    await writers.one.fetchval("select pg_current_xact_id()")
    async with writers.other.transaction():
        await write(writers.other, "drawn first")

        async def draw_and_commit() -> None:
            await write(writers.one, "committed first")
            await older.commit()

        later = asyncio.create_task(draw_and_commit())
        await writers.done_or_blocked(later)
        for _ in range(20):  # Other sessions of the server may hold the filter back for a while.
            await reader.poll()
            if reader.seen or not later.done():
                break
            await asyncio.sleep(0.1)
    await later


INTERLEAVINGS = [a_later_writer_commits_first, the_older_transaction_draws_the_later_position]


@asynccontextmanager
async def connections(url: str, count: int, **settings: str) -> AsyncIterator[list[asyncpg.Connection]]:
    async with AsyncExitStack() as stack:
        opened = [await asyncpg.connect(url, server_settings=settings) for _ in range(count)]
        for connection in opened:
            stack.push_async_callback(connection.close)
        yield opened


async def lost_by(database_url: str, sql: str, interleave: Callable[..., Awaitable[None]]) -> set[str]:
    """Returns what a reader of the serial table never sees."""
    async with connections(database_url, 4, search_path="messaging", role="messaging_owner") as (
        one,
        other,
        watch,
        own,
    ):
        await own.execute(SERIAL_TABLE)
        reader = Following(reading(own, sql))
        await interleave(Writers(one, other, watch), write_serial, reader)
        await reader.poll()
        written = {row["name"] for row in await own.fetch("select name from serial_facts")}
        assert written == {"drawn first", "committed first"}
        return written - set(reader.seen)


@pytest.mark.parametrize("interleave", INTERLEAVINGS)
async def test_a_bare_checkpoint_on_a_sequence_loses_what_commits_late(
    database_url: str, interleave: Callable[..., Awaitable[None]]
) -> None:
    assert await lost_by(database_url, ABOVE, interleave) == {"drawn first"}


async def test_the_usual_xmin_filter_waits_for_a_delayed_commit(database_url: str) -> None:
    assert await lost_by(database_url, ABOVE_AND_OLDER_THAN_ALL_THAT_RUN, a_later_writer_commits_first) == set()


async def test_the_usual_xmin_filter_loses_a_fact_where_an_older_transaction_draws_the_later_position(
    database_url: str,
) -> None:
    interleave = the_older_transaction_draws_the_later_position
    assert await lost_by(database_url, ABOVE_AND_OLDER_THAN_ALL_THAT_RUN, interleave) == {"drawn first"}


@pytest.mark.rule("PL1")
@pytest.mark.parametrize("interleave", INTERLEAVINGS)
async def test_our_reader_loses_nothing_where_the_others_do(
    postgres_store: PostgresStore, database_url: str, interleave: Callable[..., Awaitable[None]]
) -> None:
    async with connections(database_url, 3, search_path="messaging, public", role="messaging_api") as opened:
        reader = Following(reading_ours(postgres_store))
        await interleave(Writers(*opened), write_ours, reader)
        await reader.poll()
    assert reader.seen == ["drawn first", "committed first"]


@pytest.mark.rule("PL1")
async def test_our_reader_sees_every_fact_once_while_several_stores_append(database_url: str) -> None:
    stores = [PostgresStore(database_url, "messaging", Counted()) for _ in range(4)]
    for store in stores:
        await store.open()

    async def write(number: int) -> None:
        for round_ in range(40):
            name = f"{number}-{round_}"
            facts = [f"{name}-{place}".encode() for place in range(1 + round_ % 3)]
            told = await stores[number % 4].append(Append(name, 0, facts, Request(name.encode(), b"")))
            assert told.outcome is Outcome.APPENDED

    seen: list[Recorded] = []
    writing = asyncio.gather(*(write(number) for number in range(24)))
    polls = 0
    while not writing.done() or len(seen) < await stores[0].head():
        page = await stores[polls % 4].read_all(seen[-1].position if seen else 0, 50)
        seen += page
        polls += 1
    await writing
    for store in stores:
        await store.close()
    assert_whole(seen, facts=24 * (14 * 1 + 13 * 2 + 13 * 3), polls=polls)


def assert_whole(seen: list[Recorded], *, facts: int, polls: int) -> None:
    assert [recorded.position for recorded in seen] == list(range(1, facts + 1))
    assert len({recorded.fact for recorded in seen}) == facts
    assert [recorded.recorded_at for recorded in seen] == sorted(recorded.recorded_at for recorded in seen)
    assert polls > facts / 50  # it read while they wrote
