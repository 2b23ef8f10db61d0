"""Records whose position is far ahead of their source: never believed, and nothing that really follows is lost."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from infra.local.servers import Servers
from kernel.consumers import parking
from kernel.relay.publisher import publisher
from tests.integration.bench import Bench, Seen, bench, handler
from tests.integration.published import SOURCE, Written, notes_written, publish, written

SUBJECTS = 20
FAR = 1_000_000_000


@pytest.fixture
async def made(servers: Servers, database_url: str, tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench(servers, database_url, tmp_path) as each:
        yield each


def expected(count: int) -> dict[str, list[int]]:
    return {f"s{n}": list(range(n, count, SUBJECTS)) for n in range(SUBJECTS)}


async def watermark(made: Bench, position: int) -> None:
    async with publisher(made.kafka, [made.topic]) as kafka:
        await kafka.watermark(SOURCE, position, datetime.now(UTC))


def false_record(made: Bench, position: int) -> Sequence[Written]:
    return written([("s3", made.vocabulary.seal(made.vocabulary.Noted(subject="s3", number=-1)))], first=position)


async def marks(made: Bench) -> int:
    return int(await made.connection.fetchval("select max(position) from consumer_marks"))


@pytest.mark.rule("PL1")
async def test_a_record_far_ahead_is_parked_moves_no_mark_and_hides_no_later_fact(made: Bench) -> None:
    notes = notes_written(made.vocabulary, 200, SUBJECTS)
    await publish(made.kafka, made.topic, [*notes[:100], *false_record(made, FAR), *notes[100:]])
    await watermark(made, 200)
    seen = Seen()

    await (await handler(made, "c", seen)).handle(await made.records())

    parked = await parking.list_parked(made.connection, "c")
    assert {each.record.key for each in parked} == {b"s3"}
    assert parked[0].position == FAR
    assert "has not reached position" in parked[0].reason
    assert seen.numbers == expected(200) | {"s3": [3, 23, 43, 63, 83]}  # the rest of s3 waits behind it
    assert await marks(made) == 200


@pytest.mark.rule("PL1")
async def test_a_jump_is_held_until_a_watermark_covers_it_and_an_honest_one_is_then_taken(made: Bench) -> None:
    far = FAR + 1
    await publish(made.kafka, made.topic, notes_written(made.vocabulary, 100, SUBJECTS))
    jumped = written([(f"s{n % 20}", fact) for n, fact in enumerate(made.vocabulary.notes(100, 20, 100))], first=far)
    await publish(made.kafka, made.topic, jumped)
    seen = Seen()
    consumer = await handler(made, "c", seen)
    handling = asyncio.create_task(consumer.handle(await made.records()))
    await asyncio.wait([handling], timeout=2)
    assert not handling.done()
    assert seen.numbers == {}
    assert await made.connection.fetchval("select sum(next_offset) from consumer_checkpoints") == 0

    await watermark(made, far + 99)
    await asyncio.wait_for(handling, 10)
    assert seen.numbers == expected(200)
    assert await parking.list_parked(made.connection, "c") == []


@pytest.mark.rule("PL1")
async def test_a_record_a_little_ahead_that_no_watermark_can_tell_hides_no_later_fact(made: Bench) -> None:
    notes = notes_written(made.vocabulary, 200, SUBJECTS)
    await publish(made.kafka, made.topic, [*notes[:100], *false_record(made, 150), *notes[100:]])
    seen = Seen()

    await (await handler(made, "c", seen)).handle(await made.records())

    seen.numbers["s3"].remove(-1)
    assert seen.numbers == expected(200)
    assert await marks(made) == 200


@pytest.mark.rule("PL1")
async def test_a_record_that_cannot_be_opened_moves_no_mark(made: Bench) -> None:
    notes = notes_written(made.vocabulary, 100, SUBJECTS)
    broken = Written("s3", b"\xff\xff\xff", written([("s3", b"")], first=150)[0].headers)
    await publish(made.kafka, made.topic, [*notes, broken])

    await (await handler(made, "c", Seen())).handle(await made.records())

    assert await marks(made) == 100
    assert len(await parking.list_parked(made.connection, "c")) == 1
