"""Of the processes that follow a store, one works at a time, and another takes over when it is gone."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial

import asyncpg
import pytest

from kernel.background import Following
from kernel.lease import LeaseLost
from kernel.store.postgres import PostgresStore
from tests.integration.test_own_reactions import Counted

HOLDER = """
select pid from pg_locks where locktype = 'advisory' and granted
and database = (select oid from pg_database where datname = current_database())"""


class Working:
    """Work that knows how many do it at once."""

    def __init__(self, at_once: set[str], name: str) -> None:
        self._at_once = at_once
        self._name = name
        self.steps = 0

    async def step(self) -> bool:
        self._at_once.add(self._name)
        assert self._at_once == {self._name}, "two work at a time"
        await asyncio.sleep(0.01)
        self._at_once.remove(self._name)
        self.steps += 1
        return False


@pytest.fixture
async def two(
    database_url: str,
) -> AsyncIterator[tuple[tuple[Following, Working], tuple[Following, Working]]]:
    store = PostgresStore(database_url, "messaging", Counted())
    await store.open()
    at_once: set[str] = set()
    works = [Working(at_once, "one"), Working(at_once, "other")]
    roles = [Following(database_url, "messaging", store, partial(list, [work])) for work in works]
    yield (roles[0], works[0]), (roles[1], works[1])
    for role in roles:
        await role.stop()
    await store.close()


async def reached(work: Working, steps: int) -> None:
    async with asyncio.timeout(10):
        while work.steps < steps:  # noqa: ASYNC110 - what another task counts
            await asyncio.sleep(0.01)


async def test_one_works_at_a_time_and_the_other_takes_over_when_it_stops(
    two: tuple[tuple[Following, Working], tuple[Following, Working]],
) -> None:
    (one, at_one), (other, at_other) = two
    first = asyncio.create_task(one.run())
    await reached(at_one, 1)
    second = asyncio.create_task(other.run())
    await reached(at_one, 10)
    assert at_other.steps == 0
    await one.stop()
    await first
    done = at_one.steps
    await reached(at_other, 3)
    assert at_one.steps == done
    await other.stop()
    await second


async def test_the_other_takes_over_when_the_session_of_the_first_ends(
    two: tuple[tuple[Following, Working], tuple[Following, Working]], database_url: str
) -> None:
    (one, at_one), (other, at_other) = two
    first = asyncio.create_task(one.run())
    await reached(at_one, 1)
    second = asyncio.create_task(other.run())
    killer = await asyncpg.connect(database_url)
    [holder] = await killer.fetch(HOLDER)
    await killer.execute("select pg_terminate_backend($1)", holder["pid"])
    await killer.close()
    with pytest.raises(LeaseLost):
        await first
    await reached(at_other, 3)
    await other.stop()
    await second
