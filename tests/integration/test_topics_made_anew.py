"""A topic that is deleted and made again: never gone on with in its middle, taken from its beginning when told to."""

import asyncio
import signal
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from infra.local.servers import Servers
from kernel.consumers.reader import LogChanged, LogReader
from kernel.consumers.sweep import Sweep
from tests.integration.bench import Bench, Seen, bench, handler, until, until_at_least
from tests.integration.published import create_topic, delete_topic, notes_written, publish
from tests.integration.worker import Quiet

SUBJECTS = 20


@pytest.fixture
async def made(servers: Servers, database_url: str, tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench(servers, database_url, tmp_path) as each:
        yield each


async def make_anew(made: Bench) -> None:
    for topic in (made.topic, f"{made.topic}.watermark"):
        await delete_topic(made.kafka, topic)
    await create_topic(made.kafka, made.topic)


@pytest.mark.rule("PL1")
async def test_a_topic_made_anew_while_a_consumer_is_down_and_grown_past_its_checkpoint_is_not_gone_on_with(
    made: Bench,
) -> None:
    await publish(made.kafka, made.topic, notes_written(made.vocabulary, 100, SUBJECTS))
    worker = made.start("consumer", "c")
    await until_at_least(lambda: made.applied_count("c"), 100, 25)
    worker.signal(signal.SIGTERM)
    assert await worker.ended() == 0

    await make_anew(made)
    await publish(made.kafka, made.topic, notes_written(made.vocabulary, 300, SUBJECTS, 100))

    worker = made.start("consumer", "c")

    async def is_noted() -> bool:
        return "made anew" in str(await made.connection.fetchval("select reason from consumer_halts"))

    await until(is_noted, 15)
    assert len(worker.lines("consumer halts")) == 1
    assert await made.applied_count("c") == 100


@pytest.mark.rule("PL1")
async def test_a_topic_made_anew_under_a_running_consumer_is_found_by_its_id(made: Bench) -> None:
    await publish(made.kafka, made.topic, notes_written(made.vocabulary, 100, SUBJECTS))
    consumer, reader = await handler(made, "c", Seen()), LogReader(made.kafka)
    await consumer.handle(await made.records())
    topic_ids = partial(reader.topic_ids, [made.topic])
    assigned = frozenset(made.partitions)
    sweep = Sweep("c", consumer, reader.ends, topic_ids, lambda: assigned, Quiet())  # type: ignore[arg-type]
    running = asyncio.create_task(sweep.run())  # until it has seen the topic once

    async def confirmed() -> bool:
        return bool(await made.connection.fetchval("select sum(confirmed) = sum(position) from consumer_marks"))

    await until(confirmed, 6)
    running.cancel()
    await asyncio.wait([running])

    await make_anew(made)
    await publish(made.kafka, made.topic, notes_written(made.vocabulary, 300, SUBJECTS, 100))
    with pytest.raises(LogChanged, match="has id"):
        await asyncio.wait_for(sweep.run(), 10)
    assert await confirmed()
