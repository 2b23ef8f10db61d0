"""A consumer against real servers: nothing lost, nothing twice, nothing out of order per key, whatever happens."""

import asyncio
import signal
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from infra.local.servers import Servers
from kernel.consumers import parking
from kernel.consumers.limits import ConsumerLimits, TooMuchParked
from kernel.consumers.reader import LogChanged, LogReader
from kernel.consumers.records import ForeignFact, Partition
from kernel.consumers.sweep import Sweep
from kernel.consumers.watermarks import freshness, reached, wait_until_reached
from kernel.errors import StoreUnavailable
from tests.integration.bench import Bench, Process, Seen, bench, handler, until, until_at_least
from tests.integration.published import SOURCE, Written, notes_written, publish, record_facts, written
from tests.integration.worker import Quiet

FACTS = 2_000
SUBJECTS = 50


@pytest.fixture
async def made(servers: Servers, database_url: str, tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench(servers, database_url, tmp_path) as each:
        yield each


def expected(count: int) -> dict[str, list[int]]:
    return {f"s{n}": list(range(n, count, SUBJECTS)) for n in range(SUBJECTS)}


@pytest.mark.rule("PL1")
async def test_each_fact_is_taken_once_however_often_and_from_wherever_it_is_delivered(made: Bench) -> None:
    notes = notes_written(made.vocabulary, FACTS, SUBJECTS)
    await publish(made.kafka, made.topic, [*notes[:1_500], *notes[1_000:]])  # the relay sent a page twice
    records = await made.records()
    assert len(records) == FACTS + 500
    seen = Seen()
    consumer = await handler(made, "c", seen)

    await consumer.handle([record for record in records if record.offset >= 100])  # the committed offset was ahead
    await consumer.handle(records)
    await consumer.handle(records[::-1])

    assert seen.numbers == expected(FACTS)

    # Without its checkpoints and marks the same consumer takes facts twice and out of order: the test would see it.
    await made.connection.execute("delete from consumer_checkpoints; delete from consumer_marks")
    await (await handler(made, "c", seen)).handle(records)
    assert sum(map(len, seen.numbers.values())) == 2 * FACTS
    assert seen.numbers["s0"] != sorted(seen.numbers["s0"])


async def test_records_at_the_tail_that_nobody_delivers_are_found_by_the_sweep(made: Bench) -> None:
    await publish(made.kafka, made.topic, notes_written(made.vocabulary, 200, SUBJECTS))
    seen = Seen()
    consumer = await handler(made, "c", seen)
    reader = LogReader(made.kafka)
    sweep = Sweep(
        "c",
        consumer,
        reader.ends,
        partial(reader.topic_ids, [made.topic]),
        lambda: frozenset(made.partitions),
        Quiet(),  # type: ignore[arg-type]
    )
    running = asyncio.create_task(sweep.run())

    async def all_seen() -> bool:
        return seen.numbers == expected(200)

    await until(all_seen, 8)

    await made.connection.execute("update consumer_checkpoints set next_offset = next_offset + 1 where partition = 0")
    with pytest.raises(LogChanged, match="made anew"):
        await asyncio.wait_for(running, 5)


async def test_what_passes_is_tried_again_in_place_and_what_succeeded_is_not(made: Bench) -> None:
    class Shaky(Seen):
        failures = 8

        async def react(self, fact: object) -> None:
            if self.failures and fact.payload.subject in {"s3", "s7"}:  # type: ignore[attr-defined]
                self.failures -= 1
                raise ExceptionGroup("of two commands", [StoreUnavailable(), ValueError()])
            await super().react(fact)  # type: ignore[arg-type]

    await publish(made.kafka, made.topic, notes_written(made.vocabulary, 500, SUBJECTS))
    seen = Shaky()

    await (await handler(made, "c", seen)).handle(await made.records())

    assert seen.numbers == expected(500)
    assert seen.failures == 0


@pytest.mark.rule("PL1", "PL7")
async def test_facts_taken_many_at_once_are_each_taken_once_and_one_by_one_when_one_is_bad(made: Bench) -> None:
    class Together(Seen):
        at_once: int = 0
        failures = 2

        async def react_to_many(self, facts: Sequence[ForeignFact]) -> None:
            if self.failures:
                self.failures -= 1
                raise StoreUnavailable
            if any(fact.payload.subject in self.broken for fact in facts):
                raise ValueError
            self.at_once += len(facts)
            for fact in facts:
                await self.react(fact)

    await publish(made.kafka, made.topic, notes_written(made.vocabulary, 500, SUBJECTS))
    seen = Together()
    consumer = await handler(made, "c", seen, many=seen.react_to_many)

    await consumer.handle(await made.records())
    assert seen.numbers == expected(500)
    assert seen.at_once == 500

    seen.broken = {"s3"}
    await publish(made.kafka, made.topic, notes_written(made.vocabulary, 500, SUBJECTS, 500))
    await consumer.handle(await made.records())
    assert seen.numbers == expected(1_000) | {"s3": expected(500)["s3"]}
    assert {each.record.key for each in await parking.list_parked(made.connection, "c")} == {b"s3"}


async def test_too_many_failures_stop_the_consumer_and_park_nothing_more(made: Bench) -> None:
    await publish(made.kafka, made.topic, notes_written(made.vocabulary, 200, SUBJECTS))
    seen = Seen(broken={f"s{n}" for n in range(SUBJECTS)})

    with pytest.raises(TooMuchParked):
        await (await handler(made, "c", seen, ConsumerLimits(parked_in_window_max=10))).handle(await made.records())

    assert await parking.list_parked(made.connection, "c") == []


@pytest.mark.rule("PL1", "PL7")
async def test_a_bad_record_parks_its_key_and_a_redrive_takes_it_in_order(made: Bench) -> None:
    notes = notes_written(made.vocabulary, FACTS, SUBJECTS)
    notes[1_003] = Written("s3", b"\xff\xff\xff", notes[1_003].headers)  # undecodable
    await made.connection.execute("insert into broken values ('s7')")
    await publish(made.kafka, made.topic, notes)
    # The committed offset is a hint: at the end here, and the consumer starts at its checkpoint all the same.
    reader = LogReader(made.kafka)
    await reader.hint("c.main", await reader.ends(made.partitions))
    worker = made.start("consumer", "c")

    parked = FACTS // SUBJECTS + 20  # all of s7, half of s3
    await until_at_least(lambda: made.applied_count("c"), FACTS - parked, 25)
    rest = expected(FACTS) | {"s3": expected(FACTS)["s3"][:20]}
    del rest["s7"]
    assert await made.applied("c") == rest
    listed = await parking.list_parked(made.connection, "c", limit=parked + 1)
    assert {each.position for each in listed} == {*range(8, FACTS + 1, SUBJECTS), *range(1_004, FACTS + 1, SUBJECTS)}
    assert len(listed) == parked
    assert {key: await parking.is_parked(made.connection, "c", key) for key in ("s3", "s7", "s8")} == {
        "s3": True,
        "s7": True,
        "s8": False,
    }

    await made.connection.execute("delete from broken")
    assert await parking.redrive(made.connection, "c", "s7") == [made.topic]
    assert await parking.redrive(made.connection, "c", "s3") == [made.topic]
    more = notes_written(made.vocabulary, 100, SUBJECTS, FACTS)
    await publish(made.kafka, made.topic, more)
    await until_at_least(lambda: made.applied_count("c"), FACTS + 100 - 22, 10)
    assert (await made.applied("c"))["s7"] == list(range(7, FACTS + 100, SUBJECTS))

    async def is_free() -> bool:
        return not await parking.is_parked(made.connection, "c", "s7")

    await until(is_free, 5)
    assert {each.record.key for each in await parking.list_parked(made.connection, "c")} == {b"s3"}

    surprise = made.vocabulary.seal(made.vocabulary.Surprising(subject="s1", number=0))
    await publish(made.kafka, made.topic, written([("s1", surprise)], first=FACTS + 101))

    async def is_noted() -> bool:
        return "UnknownFactType" in str(await made.connection.fetchval("select reason from consumer_halts"))

    await until(is_noted, 15)
    halts = worker.lines("consumer halts")
    assert len(halts) == 1
    assert "UnknownFactType" in halts[0]


@pytest.mark.slow
@pytest.mark.rule("PL1")
@pytest.mark.parametrize("give_way_seconds", [0.0, 0.02], ids=["lane", "gives-way"])
async def test_stopped_killed_and_restarted_consumers_lose_and_repeat_nothing(
    made: Bench, give_way_seconds: float
) -> None:
    def start() -> Process:
        return made.start("consumer", "c", give_way_seconds=give_way_seconds)

    first, second = start(), start()
    await publish(made.kafka, made.topic, notes_written(made.vocabulary, FACTS, SUBJECTS))
    await until_at_least(lambda: made.applied_count("c"), FACTS // 8, 20)

    first.signal(signal.SIGSTOP)  # amid its work: it loses the fence, and the other one takes over
    await until_at_least(lambda: made.applied_count("c"), FACTS, 25)
    await publish(made.kafka, made.topic, notes_written(made.vocabulary, FACTS, SUBJECTS, FACTS))
    await until_at_least(lambda: made.applied_count("c"), FACTS + FACTS // 8, 20)
    first.signal(signal.SIGCONT)
    second.signal(signal.SIGKILL)
    third = start()
    await until_at_least(lambda: made.applied_count("c"), 2 * FACTS, 25)

    third.signal(signal.SIGTERM)
    assert await third.ended() == 0
    assert await made.applied("c") == expected(2 * FACTS)


async def test_a_consumer_that_gives_way_takes_a_fact_after_one_that_does_not(made: Bench) -> None:
    made.start("consumer", "lane")
    made.start("consumer", "other", give_way_seconds=1.0)
    first, second = notes_written(made.vocabulary, 2, 1)

    async def taken_by_both(facts: int) -> bool:
        return [await made.applied_count(name) for name in ("lane", "other")] == [facts, facts]

    await publish(made.kafka, made.topic, [first])
    await until(lambda: taken_by_both(1), 30)  # both are at work
    await publish(made.kafka, made.topic, [second])
    await until(lambda: taken_by_both(2), 10)
    lane, other = [
        await made.connection.fetchval("select max(applied_at) from applied where consumer = $1", name)
        for name in ("lane", "other")
    ]
    assert other - lane > timedelta(seconds=0.5)


@pytest.mark.rule("PL7")
async def test_freshness_moves_with_the_relay_and_stands_still_without_it(made: Bench) -> None:
    relay, _ = made.start("relay"), made.start("consumer", "c")
    await record_facts(made.database_url, made.vocabulary.notes(100, SUBJECTS))
    await wait_until_reached(made.connection, "c", SOURCE, 100, timedelta(seconds=20))
    assert await made.applied("c") == expected(100)
    assert not await reached(made.connection, "c", SOURCE, 101)

    async def is_fresh() -> bool:
        at = await freshness(made.connection, "c")
        return at is not None and datetime.now(UTC) - at < timedelta(seconds=2)

    await until(is_fresh, 5)

    relay.signal(signal.SIGKILL)
    await asyncio.sleep(1.5)
    stalled = await freshness(made.connection, "c")
    await asyncio.sleep(2)
    assert await freshness(made.connection, "c") == stalled

    # A partition nobody has heard of makes the whole unknown.
    await made.connection.execute(
        "insert into consumer_checkpoints values ('c', $1, $2, 0)", *Partition(made.topic, len(made.partitions))
    )
    assert await freshness(made.connection, "c") is None
