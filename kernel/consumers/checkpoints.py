"""Where a consumer stands, in Postgres: the next offset and the last position of each source, per partition."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import NamedTuple

import asyncpg

from kernel.consumers.listing import Listing, Start
from kernel.consumers.records import Partition
from kernel.errors import WrongSetting

INSERT = """
insert into consumer_checkpoints (consumer, topic, partition, next_offset)
select $1, * from unnest($2::text[], $3::integer[], $4::bigint[]) on conflict do nothing"""
READ = "select topic, partition, next_offset from consumer_checkpoints where consumer = $1"
LOCK = "select * from lock_partitions($1, $2, $3)"
ADVANCE = """
with advanced as (
    update consumer_checkpoints c set next_offset = new.next_offset
    from unnest($2::text[], $3::integer[], $4::bigint[]) new (topic, partition, next_offset)
    where c.consumer = $1 and c.topic = new.topic and c.partition = new.partition and c.next_offset < new.next_offset
)
insert into consumer_marks (consumer, topic, partition, source, position, previous)
select $1, * from unnest($5::text[], $6::integer[], $7::text[], $8::bigint[], $9::bigint[])
on conflict (consumer, topic, partition, source) do update
set position = excluded.position, previous = excluded.previous"""
READ_LISTINGS = "select fact_type, handled, since from consumer_listings where consumer = $1"
LIST = """
insert into consumer_listings (consumer, fact_type, handled, since)
select $1, fact_type, handled, $4 from unnest($2::text[], $3::boolean[]) listed (fact_type, handled)
on conflict (consumer, fact_type) do update set handled = excluded.handled, since = excluded.since
where consumer_listings.handled <> excluded.handled"""


class Mark(NamedTuple):
    """The last position taken of a source in a partition, and the one taken before it.

    A relay may send again what it has sent, from some position on, but leaves nothing out. So what comes between the
    two has not been taken, and the last one was false.
    """

    position: int
    previous: int

    def covers(self, position: int) -> bool:
        """Whether a record of this position has been taken."""
        return position <= self.previous or position == self.position

    def moved_to(self, position: int) -> "Mark":
        return Mark(position, self.position if position > self.position else self.previous)


Marks = dict[tuple[Partition, str], Mark]  # by partition and source


class Locked(NamedTuple):
    """Where locked partitions stand, and whether the consumer has parked any key, or is to skip any record, at all."""

    next_offsets: Mapping[Partition, int]
    marks: Marks
    has_parked: bool
    has_skips: bool


async def create(connection: asyncpg.Connection, consumer: str, first_offsets: Mapping[Partition, int]) -> None:
    """Makes the rows that are missing. Never inside a batch's transaction: cut connections would make it a livelock."""
    await connection.execute(INSERT, consumer, *_columns(first_offsets), list(first_offsets.values()))


async def read(connection: asyncpg.Connection, consumer: str) -> dict[Partition, int]:
    """Returns the next offset of every partition."""
    rows = await connection.fetch(READ, consumer)
    return {Partition(row["topic"], row["partition"]): row["next_offset"] for row in rows}


async def lock(connection: asyncpg.Connection, consumer: str, partitions: Iterable[Partition]) -> Locked:
    """Keeps other processes out of these partitions until the transaction ends."""
    asked = list(partitions)
    row = await connection.fetchrow(LOCK, consumer, *_columns(asked))
    marks = zip(row["mark_of"], row["mark_sources"], row["mark_positions"], row["mark_previous"], strict=True)
    return Locked(
        dict(zip(asked, row["next_offsets"], strict=True)),
        {(asked[place - 1], source): Mark(position, previous) for place, source, position, previous in marks},
        row["has_parked"],
        row["has_skips"],
    )


async def advance(
    connection: asyncpg.Connection, consumer: str, next_offsets: Mapping[Partition, int], marks: Marks
) -> None:
    """Offsets never go back. Takes where each mark is now: it is the caller's, who holds the partitions."""
    await connection.execute(
        ADVANCE,
        consumer,
        *_columns(next_offsets),
        list(next_offsets.values()),
        *_columns(partition for partition, _ in marks),
        [source for _, source in marks],
        [mark.position for mark in marks.values()],
        [mark.previous for mark in marks.values()],
    )


async def list_types(
    connection: asyncpg.Connection, consumer: str, listing: Listing, now: datetime
) -> dict[str, datetime]:
    """Stores what is handled and what ignored, and returns since when each type is as it is.

    Raises WrongSetting for a type that the consumer has passed over so far and is now to handle from the beginning:
    it has gone past facts of it. A consumer of another name starts at the beginning.
    """
    rows = await connection.fetch(READ_LISTINGS, consumer)
    passed = {row["fact_type"] for row in rows if not row["handled"]}
    for name in passed & listing.entries.keys():
        if listing.entries[name].start is Start.BEGINNING:
            raise WrongSetting(f"{consumer} has passed over facts of {name}; it cannot start at the beginning of them")
    names = [*listing.entries, *listing.ignored]
    await connection.execute(LIST, consumer, names, [name in listing.entries for name in names], now)
    return {row["fact_type"]: row["since"] for row in await connection.fetch(READ_LISTINGS, consumer)}


def _columns(partitions: Iterable[Partition]) -> tuple[list[str], list[int]]:
    pairs = list(partitions)
    return [partition.topic for partition in pairs], [partition.number for partition in pairs]
