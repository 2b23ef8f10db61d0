"""Reading a topic beside its consumer group."""

import asyncio

import pytest

from infra.local.servers import Servers
from kernel.consumers.reader import LogReader
from kernel.consumers.records import Partition
from kernel.tasks import first_to_end


async def test_a_range_with_nothing_in_it_is_read_at_once(servers: Servers) -> None:
    pages = LogReader(servers.kafka).pages(Partition("holdspace.standing.v1", 0), 7, 7)
    assert [page async for page in pages] == []


async def test_a_consumer_stopped_as_soon_as_it_started_does_not_cancel_who_uses_it(servers: Servers) -> None:
    for _ in range(5):
        async with LogReader(servers.kafka).consumer():
            pass


async def test_a_task_cancelled_from_inside_is_a_failure_and_not_an_end() -> None:
    async def cancelled() -> None:
        raise asyncio.CancelledError

    with pytest.raises(RuntimeError, match="cancelled from inside"):
        await first_to_end(cancelled(), asyncio.sleep(60))
