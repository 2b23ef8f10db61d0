"""How fresh a consumer is: the relays' watermarks, saved once the consumer has reached them.

A watermark says: everything its store had recorded by this time is in the partition before this offset. Checkpoints are
shared by all processes of a consumer, and so are the watermarks reached.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import isnan, nan

import asyncpg
from aiokafka.structs import ConsumerRecord
from google.protobuf.message import DecodeError

from holdspace.kernel.v1.envelope_pb2 import Watermark
from kernel.consumers.horizon import Horizon
from kernel.consumers.records import Partition
from kernel.facts import instant
from kernel.relay.headers import BIGINT_MAX, SOURCE

# A consumer that is behind keeps the oldest and thins out the rest: freshness then moves in longer steps.
PENDING_MAX = 240
REACHED_POLL_SECONDS = 0.1

SAVE = """
insert into consumer_watermarks (consumer, topic, partition, source, position, store_time, reached_at)
select $1, new.*, now() from unnest($2::text[], $3::integer[], $4::text[], $5::bigint[], $6::timestamptz[]) new
on conflict (consumer, topic, partition, source) do update
set position = excluded.position, store_time = excluded.store_time, reached_at = excluded.reached_at
where consumer_watermarks.store_time < excluded.store_time"""
# After a reconcile the source of the former epoch says nothing more.
FORGET_FORMER_EPOCHS = """
delete from consumer_watermarks old using unnest($2::text[], $3::integer[], $4::text[]) new (topic, partition, source)
where old.consumer = $1 and old.topic = new.topic and old.partition = new.partition
and regexp_replace(old.source, '/[0-9]+$', '') = regexp_replace(new.source, '/[0-9]+$', '')
and substring(old.source from '[0-9]+$')::bigint < substring(new.source from '[0-9]+$')::bigint"""
FORGET_SOURCE = "delete from consumer_watermarks where source = $1"
# Every source writes to every partition of its topics, so each pair that is not there yet is one not reached.
EXPECTED = """
with expected as (
    select c.topic, c.partition, known.source from consumer_checkpoints c
    left join (select distinct topic, source from consumer_watermarks where consumer = $1) known using (topic)
    where c.consumer = $1
)"""
OF_EXPECTED = """
from expected e left join consumer_watermarks w
on w.consumer = $1 and w.topic = e.topic and w.partition = e.partition and w.source = e.source"""
REACHED = f"{EXPECTED} select e.source, w.position, w.store_time {OF_EXPECTED}"
AGES = f"{EXPECTED} select e.source, clock_timestamp() - least(w.store_time, w.reached_at) as age {OF_EXPECTED}"


@dataclass(frozen=True, slots=True)
class Reached:
    source: str
    position: int
    store_time: datetime
    end_offset: int


def read_watermark(value: bytes | None) -> Reached | None:
    """Returns what a record of a watermark topic says, None when it is no watermark."""
    try:
        seen = Watermark.FromString(value or b"")
        if SOURCE.match(seen.source) and 0 <= seen.position <= BIGINT_MAX:
            return Reached(seen.source, seen.position, instant(seen.store_time), seen.end_offset)
    except (DecodeError, ValueError, OverflowError):
        pass
    return None


class Pending:
    """Watermarks seen and not yet reached, by partition and source, in the order they were written."""

    def __init__(self, horizon: Horizon) -> None:
        self._horizon = horizon
        self._waiting: dict[tuple[Partition, str], list[Reached]] = {}

    def add(self, records: Iterable[ConsumerRecord], topics: Mapping[str, str]) -> None:
        """Takes records of watermark topics, and the topic that each of those is about; passes over anything else."""
        for record in records:
            seen = read_watermark(record.value)
            if seen is None:
                continue
            self._horizon.raise_to(seen.source, seen.position)
            waiting = self._waiting.setdefault((Partition(topics[record.topic], record.partition), seen.source), [])
            waiting.append(seen)
            if len(waiting) > PENDING_MAX:
                del waiting[1::2]

    def take_reached(self, next_offsets: Mapping[Partition, int]) -> dict[Partition, list[Reached]]:
        """Removes what lies at or below the checkpoints; returns the last of each partition and source."""
        reached: dict[Partition, list[Reached]] = {}
        for (partition, _), waiting in self._waiting.items():
            count = 0
            while count < len(waiting) and waiting[count].end_offset <= next_offsets.get(partition, 0):
                count += 1
            if count:
                reached.setdefault(partition, []).append(waiting[count - 1])
                del waiting[:count]
        return reached


class Saver:
    """Keeps the watermarks that a consumer has reached."""

    def __init__(self, connection: asyncpg.Connection, consumer: str) -> None:
        self._connection = connection
        self._consumer = consumer
        self._known: set[tuple[Partition, str]] = set()

    async def save(self, reached: Mapping[Partition, Sequence[Reached]]) -> None:
        rows = [(partition, each) for partition, several in reached.items() for each in several]
        topics, numbers = [partition.topic for partition, _ in rows], [partition.number for partition, _ in rows]
        sources = [each.source for _, each in rows]
        positions, times = [each.position for _, each in rows], [each.store_time for _, each in rows]
        async with self._connection.transaction():
            await self._connection.execute(SAVE, self._consumer, topics, numbers, sources, positions, times)
            met = {(partition, each.source) for partition, each in rows}
            if not met <= self._known:  # Only a source that is new here can put an end to a former epoch.
                await self._connection.execute(FORGET_FORMER_EPOCHS, self._consumer, topics, numbers, sources)
                self._known |= met


async def freshness(connection: asyncpg.Connection, consumer: str) -> datetime | None:
    """Returns the stores' time up to which this consumer has applied everything, of all partitions and sources.

    None while a partition or a source of a topic has not been heard of: nothing can be said then.
    """
    times = [row["store_time"] for row in await connection.fetch(REACHED, consumer)]
    return None if not times or None in times else min(times)


async def freshness_age(connection: asyncpg.Connection, consumer: str) -> timedelta | None:
    """Returns how long ago `freshness` was, by the database's clock: at least how long the oldest watermark has stood.

    So a source whose clock is ahead looks fresh no longer than one whose clock is right.
    """
    rows = await connection.fetch(AGES, consumer)
    ages = [row["age"] for row in rows]
    return None if not ages or None in ages else max(max(ages), timedelta(0))


async def source_ages(connection: asyncpg.Connection, consumer: str) -> dict[str, float]:
    """Returns the age in seconds of each source's oldest watermark, not a number for one that has not been heard of in
    every partition: gates wait for it.
    """
    ages: dict[str, float] = {}
    for row in await connection.fetch(AGES, consumer):
        if row["source"] is not None:
            age = nan if row["age"] is None else row["age"].total_seconds()
            known = ages.get(row["source"], age)
            ages[row["source"]] = age if isnan(age) else max(known, age)  # once it is not a number it stays so
    return ages


async def reached(connection: asyncpg.Connection, consumer: str, source: str, position: int) -> bool:
    """Whether the consumer has applied everything of the source up to the position, in every partition."""
    rows = await connection.fetch(REACHED, consumer)
    if any(row["source"] is None for row in rows):
        return False
    positions = [row["position"] or 0 for row in rows if row["source"] == source]
    return bool(positions) and min(positions) >= position


async def wait_until_reached(
    connection: asyncpg.Connection, consumer: str, source: str, position: int, within: timedelta
) -> None:
    """Raises TimeoutError."""
    async with asyncio.timeout(within.total_seconds()):
        while not await reached(connection, consumer, source, position):  # noqa: ASYNC110 - told by a row
            await asyncio.sleep(REACHED_POLL_SECONDS)


async def forget_source(connection: asyncpg.Connection, source: str) -> None:
    """For a cell that will never publish again: freshness no longer waits for it, in any consumer of this schema."""
    await connection.execute(FORGET_SOURCE, source)
