"""The Postgres store's queue: bounded, urgent ones first, nothing sent past its deadline, no endless wait."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from kernel.errors import DeadlinePassed, Overloaded, StoreUnavailable
from kernel.store.interface import Append, Attachment, Outcome, Request
from kernel.store.postgres import PostgresStore
from tests.contract.callers import append, open_store, session, somebody_else_appending
from tests.contract.conftest import Counted

SENT = """
select count(*) from pg_locks join pg_database on pg_database.oid = pg_locks.database
where datname = current_database() and locktype = 'advisory' and not granted"""


@pytest.fixture
async def narrow_store(database_url: str) -> AsyncIterator[PostgresStore]:
    """Sends one append at a time and lets four wait."""
    store = PostgresStore(database_url, "messaging", Counted(), waiting_max=4, batch_max=1, batches_in_flight=1)
    await store.open()
    await store.append(append("warm"))
    yield store
    await store.close()


async def waiting(store: PostgresStore, *appends: Append) -> "list[asyncio.Task[object]]":
    """Submits them in this order, the first of which is sent."""
    tasks: list[asyncio.Task[object]] = []
    for asked in appends:
        tasks.append(asyncio.create_task(store.append(asked)))
        await asyncio.sleep(0.02)
    return tasks


async def test_a_full_queue_refuses_at_once_and_takes_again_when_there_is_room(
    narrow_store: PostgresStore, database_url: str
) -> None:
    async with somebody_else_appending(database_url):
        tasks = await waiting(narrow_store, *(append(f"s{n}") for n in range(5)))
        with pytest.raises(Overloaded):
            await asyncio.wait_for(narrow_store.append(append("one too many")), 0.2)
    await asyncio.gather(*tasks)
    assert (await narrow_store.append(append("later"))).outcome is Outcome.APPENDED
    assert await narrow_store.head() == 7


async def test_urgent_appends_overtake_those_that_wait(narrow_store: PostgresStore, database_url: str) -> None:
    async with somebody_else_appending(database_url):
        tasks = await waiting(
            narrow_store, append("on its way"), append("a"), append("b"), append("suspension", urgent=True), append("c")
        )
    await asyncio.gather(*tasks)
    order = [recorded.stream for recorded in await narrow_store.read_all(1, 10)]
    assert order == ["on its way", "suspension", "a", "b", "c"]


async def test_an_urgent_append_is_sent_though_a_batch_is_on_its_way(database_url: str) -> None:
    """An ordinary one alone would wait for that batch, or for company."""
    async with open_store(database_url) as store, session(database_url, "messaging_api") as looking:
        await store.append(append("warm"))
        async with somebody_else_appending(database_url):
            tasks = await waiting(store, append("on its way"), append("a"), append("suspension", urgent=True))
            async with asyncio.timeout(5):
                while await looking.fetchval(SENT) < 2:  # noqa: ASYNC110 - the server has no event for it
                    await asyncio.sleep(0.01)
        await asyncio.gather(*tasks)
        order = [recorded.stream for recorded in await store.read_all(0, 10)]
    assert sorted(order) == ["a", "on its way", "suspension", "warm"]
    assert order.index("suspension") < order.index("a")


async def test_an_append_whose_deadline_passes_while_it_waits_is_never_sent(
    narrow_store: PostgresStore, database_url: str
) -> None:
    soon = asyncio.get_running_loop().time() + 0.15
    async with somebody_else_appending(database_url):
        in_time, too_late = await waiting(narrow_store, append("on its way"), append("late", deadline=soon))
        await asyncio.sleep(0.2)
    await in_time
    with pytest.raises(DeadlinePassed):
        await too_late
    assert [recorded.stream for recorded in await narrow_store.read_all(1, 10)] == ["on its way"]


async def test_an_append_whose_caller_went_away_is_never_sent(narrow_store: PostgresStore, database_url: str) -> None:
    async with somebody_else_appending(database_url):
        first, gone = await waiting(narrow_store, append("on its way"), append("gone"))
        gone.cancel()
    await first
    await narrow_store.append(append("next"))
    assert [recorded.stream for recorded in await narrow_store.read_all(1, 10)] == ["on its way", "next"]


async def test_a_stuck_session_is_waited_for_three_seconds_and_then_the_store_is_away(database_url: str) -> None:
    asked = append("s", attachments=[Attachment("body", b"sealed")])
    async with open_store(database_url) as store:
        began = asyncio.get_running_loop().time()
        async with somebody_else_appending(database_url):
            with pytest.raises(StoreUnavailable):
                await store.append(asked)
            waited = asyncio.get_running_loop().time() - began
            assert 2.5 < waited < 8
            assert (await store.head(), await store.attachment("body")) == (0, None)
        assert (await store.append(asked)).outcome is Outcome.APPENDED
        assert await store.attachment("body") == b"sealed"


async def test_a_fault_of_ours_fails_its_append_and_not_those_that_follow(database_url: str) -> None:
    broken = Append("s", 0, [b"x"], Request(b"r", b""), timers=[object()])  # type: ignore[list-item]
    async with open_store(database_url) as store:
        with pytest.raises(AttributeError):
            await asyncio.wait_for(store.append(broken), 3)
        assert (await asyncio.wait_for(store.append(append("next")), 3)).outcome is Outcome.APPENDED


async def test_two_stores_with_the_same_attachments_in_opposite_orders_do_not_wait_for_each_other(
    database_url: str,
) -> None:
    async with open_store(database_url) as one, open_store(database_url) as other:
        for round_ in range(10):
            bodies = [Attachment(f"{round_}-{n}", b"x" * 2_000) for n in range(60)]
            told = await asyncio.gather(
                *(one.append(append(f"one-{body.id}", attachments=[body])) for body in bodies),
                *(other.append(append(f"other-{body.id}", attachments=[body])) for body in reversed(bodies)),
            )
            assert {answer.outcome for answer in told} == {Outcome.APPENDED}
