"""Streams that are read at the same time, which may be one query: each reader has its own facts."""

import asyncio

import asyncpg
import pytest

from kernel.errors import StoreUnavailable
from kernel.store.interface import EventStore
from kernel.store.postgres import PostgresStore
from kernel.store.stream_reads import READ_STREAM, READ_STREAMS
from tests.contract.callers import session
from tests.contract.conftest import Counted
from tests.contract.test_store import append


async def test_streams_read_at_the_same_time_each_have_their_own_facts(store: EventStore) -> None:
    for n in range(150):
        await store.append(append(f"s{n}", 0, *(f"{n}/{version}".encode() for version in range(1, n % 4 + 1))))
    asked = [(f"s{n % 160}", n % 3, None if n % 2 else 2) for n in range(400)]  # some twice, some that are empty
    read = await asyncio.gather(*(store.read_stream(*each) for each in asked))
    for (stream, after, up_to), found in zip(asked, read, strict=True):
        number = int(stream[1:])
        versions = range(after + 1, min(number % 4 if number < 150 else 0, up_to or 4) + 1)
        assert [(r.stream, r.version, r.fact) for r in found] == [
            (stream, version, f"{number}/{version}".encode()) for version in versions
        ]


async def test_a_reader_that_gives_up_takes_nothing_from_those_beside_it(store: EventStore) -> None:
    await store.append(append("s", 0, b"a"))
    readers = [asyncio.ensure_future(store.read_stream("s")) for _ in range(3)]
    await asyncio.sleep(0)
    readers[0].cancel()
    told = await asyncio.gather(*readers, return_exceptions=True)
    assert isinstance(told[0], asyncio.CancelledError) or [r.fact for r in told[0]] == [b"a"]
    assert [[r.fact for r in found] for found in told[1:] if not isinstance(found, BaseException)] == [[b"a"], [b"a"]]


async def test_a_store_that_is_away_says_so_to_every_reader(database_url: str) -> None:
    store = PostgresStore(database_url, "messaging", Counted())
    await store.open()
    await store.close()
    told = await asyncio.gather(*(store.read_stream(f"s{n}") for n in range(5)), return_exceptions=True)
    assert [type(each) for each in told] == [StoreUnavailable] * 5
    with pytest.raises(StoreUnavailable):
        await store.read_stream("s")


@pytest.mark.parametrize("role", ["messaging_api", "messaging_reader"])
@pytest.mark.parametrize("sql", [READ_STREAM, READ_STREAMS])
async def test_a_stream_is_read_in_its_order_by_the_index_alone(module_database_url: str, role: str, sql: str) -> None:
    async with session(module_database_url, role) as connection:
        await connection.execute("set enable_seqscan = off; set plan_cache_mode = force_generic_plan")
        await connection.execute(f"prepare reading as {sql}")
        given = "('{s}', '{0}', '{9}')" if sql == READ_STREAMS else "('s', 0, 9)"
        plan = "\n".join(row[0] for row in await connection.fetch(f"explain (costs off) execute reading {given}"))
    assert "Index Scan using facts_by_stream on facts" in plan
    assert "Sort" not in plan
    assert "facts_of" not in plan  # as a function of its own it would read all it may need before it gives any


async def test_a_stream_has_each_version_from_1_on_once_whoever_writes(database_url: str) -> None:
    async with session(database_url, "messaging_owner") as owner:
        write = "insert into facts select n, 's', $2, now(), 'x' from generate_series(1, $1::integer) n"
        with pytest.raises(asyncpg.UniqueViolationError, match="facts_by_stream"):
            await owner.execute(write, 2, 1)
        with pytest.raises(asyncpg.CheckViolationError, match="facts_version_check"):
            await owner.execute(write, 1, 0)
        await owner.execute(write, 1, 1)
