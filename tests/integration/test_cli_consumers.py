"""What brings a consumer past what it stands still for: shown first, done when told to, on record, no restart."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from click.testing import CliRunner

from infra.cli.main import holdspace
from infra.local.servers import Servers
from kernel.consumers import parking
from kernel.consumers.watermarks import freshness
from kernel.relay.publisher import partition_of, publisher
from tests.integration.bench import Bench, Seen, bench, handler, until, until_at_least
from tests.integration.published import (
    PARTITIONS,
    SOURCE,
    Written,
    create_topic,
    delete_topic,
    notes_written,
    publish,
    written,
)

SUBJECTS = 20


@pytest.fixture
async def made(servers: Servers, database_url: str, tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench(servers, database_url, tmp_path) as each:
        yield each


async def operate(made: Bench, *arguments: str) -> tuple[int, Any]:
    """Runs a command line on the bench's servers. Returns its exit code, and what it printed: JSON, or an error."""
    variables = {"HOLDSPACE_DATABASE_URL": made.database_url, "HOLDSPACE_KAFKA": made.kafka}
    done = await asyncio.to_thread(CliRunner().invoke, holdspace, arguments, env=variables)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    if done.exit_code:
        return done.exit_code, done.stderr
    return 0, json.loads(done.stdout) if done.stdout.startswith("{\n") else list(
        map(json.loads, done.stdout.splitlines())
    )


async def committed(made: Bench) -> int:
    """Returns the highest offset that Kafka holds for the consumer's group in the partition of s1."""
    place = TopicPartition(made.topic, partition_of(b"s1", PARTITIONS))
    async with AIOKafkaConsumer(bootstrap_servers=made.kafka, group_id="c.main") as consumer:
        return int(await consumer.committed(place) or 0)


def step(made: Bench, action: str, *arguments: str) -> tuple[str, ...]:
    return ("consumers", action, "messaging", "c", made.topic, *arguments)


async def actions(made: Bench) -> list[str]:
    return [row[0] for row in await made.connection.fetch("select action from operator_actions order by id")]


@pytest.mark.rule("PL1", "PL7")
async def test_a_halted_consumer_keeps_its_process_and_goes_on_once_the_record_is_skipped(made: Bench) -> None:
    surprise = made.vocabulary.seal(made.vocabulary.Surprising(subject="s1", number=0))
    await publish(made.kafka, made.topic, notes_written(made.vocabulary, 100, SUBJECTS))
    await publish(made.kafka, made.topic, written([("s1", surprise)], first=101))
    await publish(made.kafka, made.topic, notes_written(made.vocabulary, 100, SUBJECTS, 200))
    worker = made.start("consumer", "c")

    async def halted() -> list[dict[str, Any]]:
        listed = (await operate(made, "consumers", "list", "messaging", "--output", "json"))[1]
        return [row for row in listed if row["halted"] and "UnknownFactType" in row["halted"]]

    async def is_halted() -> bool:
        return bool(await halted())

    await until(is_halted, 25)
    (row,) = await halted()
    assert (row["consumer"], row["topic"], row["end"]) == ("c", made.topic, 201)
    found = next(each for each in await made.records() if each.value == surprise)
    place = str(found.partition), str(found.offset)

    assert await committed(made) <= found.offset, "Kafka was told of nothing that is not durable"

    code, shown = await operate(made, *step(made, "skip", *place))
    assert (code, shown["action"], shown["about"]["offset"]) == (0, "skip", found.offset)
    assert await actions(made) == []
    assert (await operate(made, *step(made, "skip", place[0], "100000")))[0] == 1
    assert (await operate(made, *step(made, "skip", *place, "--yes")))[0] == 0

    await until_at_least(lambda: made.applied_count("c"), 200, 20)
    assert worker.process.poll() is None
    assert len(worker.lines("consumer halts")) == 1

    async def goes_on() -> bool:
        return not await halted()

    await until(goes_on, 15)
    (told,) = (await operate(made, "consumers", "actions", "messaging", "--output", "json"))[1]
    assert told["action"] == "skip"
    assert told["before"]["value"]
    code, error = await operate(made, *step(made, "skip", *place, "--yes"))
    assert code == 1
    assert "has taken it" in error


@pytest.mark.slow
@pytest.mark.rule("PL1", "PL7")
async def test_a_topic_made_anew_is_taken_from_its_beginning_once_it_is_reset(made: Bench) -> None:
    notes = notes_written(made.vocabulary, 100, SUBJECTS)
    await publish(made.kafka, made.topic, notes)
    worker = made.start("consumer", "c")

    async def confirmed() -> bool:
        sure = await made.connection.fetchval("select sum(confirmed) from consumer_marks where position = confirmed")
        return sure == 97 + 98 + 99 + 100 or bool(sure and await made.applied_count("c") == 100)

    await until(confirmed, 30)
    for topic in (made.topic, f"{made.topic}.watermark"):
        await delete_topic(made.kafka, topic)
    await create_topic(made.kafka, made.topic)
    more = notes_written(made.vocabulary, 300, SUBJECTS, 100)
    await publish(made.kafka, made.topic, [*notes, *more])

    async def is_noted() -> bool:
        return "made anew" in str(await made.connection.fetchval("select reason from consumer_halts"))

    await until(is_noted, 20)
    assert (await operate(made, *step(made, "replay", "--partition", "0", "--offset", "0", "--yes")))[0] == 1
    code, shown = await operate(made, *step(made, "reset"))
    assert code == 0
    assert set(shown["after"]["next_offsets"].values()) == {0}
    assert await is_noted()
    assert (await operate(made, *step(made, "reset", "--yes")))[0] == 0
    await until_at_least(lambda: made.applied_count("c"), 400, 20)
    assert worker.process.poll() is None
    assert await actions(made) == ["reset"]


@pytest.mark.rule("PL1", "PL7")
async def test_what_a_false_position_hid_is_taken_again_by_a_replay(made: Bench) -> None:
    false = [
        Written("s3", made.vocabulary.seal(made.vocabulary.Noted(subject="s3", number=-n)), each.headers)
        for n, each in enumerate(written([("s3", b"")] * 2, first=5_000), 1)
    ]
    notes = notes_written(made.vocabulary, 200, SUBJECTS)
    await publish(made.kafka, made.topic, [*notes[:100], *false, *notes[100:]])
    seen = Seen()
    consumer = await handler(made, "c", seen)
    await consumer.handle(records := await made.records())
    assert seen.numbers["s3"] == [3, 23, 43, 63, 83, -1, -2], "two in a row hide what follows"

    place = next((each.partition, each.offset) for each in records if each.value == false[1].value)
    back = ("--partition", str(place[0]), "--offset", str(place[1] + 1))
    assert (await operate(made, *step(made, "replay", *back)))[0] == 0
    assert await actions(made) == []
    assert (await operate(made, *step(made, "replay", "--partition", "0", "--offset", "100000", "--yes")))[0] == 1
    assert (await operate(made, *step(made, "replay", *back, "--yes")))[0] == 0
    await consumer.handle(await made.records())
    assert seen.numbers["s3"] == [3, 23, 43, 63, 83, -1, -2, 103, 123, 143, 163, 183]
    assert await actions(made) == ["replay"]

    assert (await operate(made, *step(made, "replay", "--at", "2020-01-01T00:00:00Z")))[0] == 0


@pytest.mark.rule("PL7")
async def test_a_parked_record_is_skipped_and_its_key_redriven(made: Bench) -> None:
    notes = notes_written(made.vocabulary, 100, SUBJECTS)
    notes[43] = Written("s3", b"\xff\xff\xff", notes[43].headers)
    await publish(made.kafka, made.topic, notes)
    seen = Seen()
    consumer = await handler(made, "c", seen)
    await consumer.handle(await made.records())
    parked = await parking.list_parked(made.connection, "c")
    assert len(parked) == 3
    place = str(parked[0].record.partition), str(parked[0].record.offset)

    assert (await operate(made, *step(made, "skip", *place)))[0] == 0
    assert len(await parking.list_parked(made.connection, "c")) == 3
    assert (await operate(made, *step(made, "skip", *place, "--yes")))[0] == 0
    await parking.redrive(made.connection, "c", "s3")
    await consumer.redrive(made.partitions)
    assert seen.numbers["s3"] == [3, 23, 63, 83]
    assert not await parking.is_parked(made.connection, "c", "s3")


@pytest.mark.rule("PL7", "PL10")
async def test_a_source_that_is_gone_is_shown_and_forgotten_and_one_that_publishes_is_not(made: Bench) -> None:
    wrong = "messaging/wrong/1"
    consumer = made.start("consumer", "c")
    await publish(made.kafka, made.topic, notes_written(made.vocabulary, 100, SUBJECTS))
    await until_at_least(lambda: made.applied_count("c"), 100, 25)
    async with publisher(made.kafka, [made.topic]) as kafka:

        async def is_fresh() -> bool:
            await kafka.watermark(SOURCE, 100, datetime.now(UTC))
            return await freshness(made.connection, "c") is not None

        await until(is_fresh, 15)
    await made.connection.execute(
        "insert into consumer_watermarks values ('c', $1, 0, $2, 1, now(), now() - interval '1 hour')",
        made.topic,
        wrong,
    )
    assert await freshness(made.connection, "c") is None

    async def is_named() -> bool:
        return any(wrong in line for line in consumer.lines("a source is not heard of everywhere"))

    await until(is_named, 15)
    listed = {
        row["source"]: row for row in (await operate(made, "sources", "list", "messaging", "--output", "json"))[1]
    }
    assert listed[wrong]["heard_in"] == "1 of 4"
    assert listed[SOURCE]["heard_in"] == "4 of 4"
    forget = ("sources", "forget", "messaging", "c")
    assert (await operate(made, *forget, wrong))[0] == 0
    assert await freshness(made.connection, "c") is None
    code, error = await operate(made, *forget, SOURCE, "--yes")
    assert code == 1
    assert "stop its relay" in error
    assert (await operate(made, *forget, wrong, "--yes"))[0] == 0
    assert await freshness(made.connection, "c") is not None
    assert await actions(made) == ["forget source"]
