"""The Postgres store under load while sessions and servers end: nothing is lost, nothing is there twice."""

import asyncio
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.database import prepare
from infra.local import postgres, state, supervisor
from kernel.errors import StoreUnavailable
from kernel.migrate import migrate
from tests.contract.callers import (
    Load,
    append,
    assert_whole,
    four_stores,
    open_store,
    session,
    until_it_is_in,
    whole_log,
)


@pytest.mark.rule("PL1")
async def test_many_stores_on_shared_and_separate_streams_keep_positions_dense_and_in_order(database_url: str) -> None:
    async with four_stores(database_url) as stores:
        load = Load(stores)
        await load.run(seconds=1.5)
        assert len(load.appends) > 20
        assert_whole(await whole_log(stores[0]), load.appends)


@pytest.mark.rule("PL1")
async def test_a_storm_of_ended_sessions_loses_nothing_and_doubles_nothing(database_url: str) -> None:
    end_all = """
    select count(pg_terminate_backend(pid)) from pg_stat_activity
    where datname = current_database() and backend_type = 'client backend' and pid <> pg_backend_pid()"""
    async with four_stores(database_url) as stores, session(database_url, "none") as killer:
        load = Load(stores)
        running = asyncio.create_task(load.run(seconds=3))
        ended = 0
        for _ in range(25):
            await asyncio.sleep(0.12)
            ended += await killer.fetchval(end_all)
        await running
        assert ended > 20
        assert len(load.appends) > 24
        assert_whole(await whole_log(stores[0]), load.appends)


@pytest.fixture
def own_server() -> Iterator[Path]:
    """The folder of a Postgres that this test alone kills."""
    with tempfile.TemporaryDirectory(prefix="holdspace-test-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        try:
            supervisor.ensure(folder, [postgres.program()], print)
            yield folder
        finally:
            supervisor.stop(folder, postgres.program())


@pytest.mark.rule("PL1")
async def test_a_killed_and_restarted_server_has_everything_it_acknowledged(own_server: Path) -> None:
    database_url = postgres.url(state.load(own_server)[postgres.NAME].ports["sql"])
    await prepare(database_url)
    await migrate(database_url, "messaging")
    async with four_stores(database_url) as stores:
        load = Load(stores)
        running = asyncio.create_task(load.run(seconds=4))
        for how in (signal.SIGKILL, None):
            await asyncio.sleep(0.6)
            await asyncio.to_thread(supervisor.stop, own_server, postgres.program(), how)
            await asyncio.sleep(0.3)
            await asyncio.to_thread(supervisor.start, own_server, postgres.program())
        await running
        assert len(load.appends) > 24
        assert_whole(await whole_log(stores[0]), load.appends)


async def test_a_server_that_became_read_only_is_away_and_not_the_fault_of_an_append(database_url: str) -> None:
    name = database_url.rsplit("/", 1)[1]
    async with open_store(database_url) as store, session(database_url, "none") as operator:
        await store.append(append("before"))
        await operator.execute(f"alter database {name} set default_transaction_read_only = on")
        await operator.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where datname = current_database() and backend_type = 'client backend' and pid <> pg_backend_pid()"
        )
        with pytest.raises(StoreUnavailable):
            await store.append(append("refused"))
        await operator.execute("set default_transaction_read_only = off")
        await operator.execute(f"alter database {name} reset default_transaction_read_only")
        assert (await until_it_is_in(store, append("after"))).position == 2


async def test_a_store_that_closes_answers_everyone_who_waits(database_url: str) -> None:
    async with session(database_url, "messaging_api") as stuck, open_store(database_url) as store:
        async with stuck.transaction():
            await stuck.execute("select pg_advisory_xact_lock('facts'::regclass::oid::bigint)")
            waiting = [asyncio.create_task(store.append(append(f"s{n}"))) for n in range(3)]
            await asyncio.sleep(0.1)
            await store.close()
            told = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 2)
        assert all(isinstance(answer, StoreUnavailable) for answer in told)
        with pytest.raises(StoreUnavailable):
            await asyncio.wait_for(store.append(append("late")), 2)
