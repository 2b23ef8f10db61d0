"""Watermark topics that are missing or made anew: no fact waits for them, and gates open again by themselves."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from infra.local.servers import Servers
from kernel.consumers.watermarks import freshness
from tests.integration.bench import Bench, bench, until, until_at_least
from tests.integration.published import PARTITIONS, delete_topic, record_facts

SUBJECTS = 20


@pytest.fixture
async def made(servers: Servers, database_url: str, tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench(servers, database_url, tmp_path) as each:
        yield each


async def create_watermark_topic(made: Bench) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=made.kafka)
    await admin.start()
    await admin.create_topics([NewTopic(f"{made.topic}.watermark", PARTITIONS, 1)])
    await admin.close()


async def is_fresh(made: Bench) -> bool:
    at = await freshness(made.connection, "c")
    return at is not None and datetime.now(UTC) - at < timedelta(seconds=4)


@pytest.mark.rule("PL1", "PL7")
async def test_facts_go_on_while_the_watermark_topic_is_missing_and_gates_open_again_once_it_is_there(
    made: Bench,
) -> None:
    relay, consumer = made.start("relay"), made.start("consumer", "c")
    await record_facts(made.database_url, made.vocabulary.notes(100, SUBJECTS))
    await until_at_least(lambda: made.applied_count("c"), 100, 25)
    await until(lambda: is_fresh(made), 15)

    await delete_topic(made.kafka, f"{made.topic}.watermark")
    for first in range(100, 600, 100):
        await record_facts(made.database_url, made.vocabulary.notes(100, SUBJECTS, first))
        assert await until_at_least(lambda upto=first + 100: made.applied_count("c"), first + 100, 5) < 5  # type: ignore[misc]

    async def told() -> bool:
        return len(relay.lines("watermarks cannot be written")) == 1 and not await is_fresh(made)

    await until(told, 20)

    await create_watermark_topic(made)
    await until(lambda: is_fresh(made), 20)
    assert len(relay.lines("watermarks cannot be written")) == 1
    assert consumer.lines("watermark topics are missing")


@pytest.mark.rule("PL1")
async def test_a_relay_that_starts_without_its_watermark_topic_relays(made: Bench) -> None:
    await delete_topic(made.kafka, f"{made.topic}.watermark")
    relay, _ = made.start("relay"), made.start("consumer", "c")
    await record_facts(made.database_url, made.vocabulary.notes(100, SUBJECTS))
    await until_at_least(lambda: made.applied_count("c"), 100, 25)
    assert relay.lines("watermarks cannot be written")

    await create_watermark_topic(made)
    await until(lambda: is_fresh(made), 20)
