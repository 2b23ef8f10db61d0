"""Records that a consumer could not take in. They wait, with all later ones of their key, for an operator."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from kernel.consumers.records import Lane, Partition, Record
from kernel.errors import Poison
from kernel.relay import headers as relay_headers

REASON_CHARACTERS_MAX = 500

FIND_KEYS = """
select topic, key from parked_keys
where consumer = $1 and (topic, key) in (select * from unnest($2::text[], $3::bytea[]))"""
PARK_KEYS = """
insert into parked_keys (consumer, topic, partition, key)
select distinct $1, * from unnest($2::text[], $3::integer[], $4::bytea[]) on conflict do nothing"""
PARK = """
insert into parked_records (consumer, topic, partition, "offset", key, source, position, headers, value, reason)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) on conflict do nothing"""
COUNT_KEYS = "select count(*) from parked_keys where consumer = $1"
IS_PARKED = "select exists (select from parked_keys where consumer = $1 and key = $2)"
PARKED_KEYS = "select distinct key from parked_keys where consumer = $1"
LIST_RECORDS = """
select consumer, topic, partition, "offset", key, source, position, headers, value, reason, parked_at
from parked_records where ($1::text is null or consumer = $1)
and ($2::text is null or (consumer, topic, partition, "offset") > ($2, $3, $4, $5))
order by consumer, topic, partition, "offset" limit $6"""
LIST_LANE = """
select consumer, topic, partition, "offset", key, source, position, headers, value, reason, parked_at
from parked_records where consumer = $1 and topic = $2 and key = $3 order by "offset" limit $4"""
REQUEST = "update parked_keys set redrive_requested_at = now() where consumer = $1 and key = $2 returning topic"
REQUESTED = """
select topic, partition, key from parked_keys
where consumer = $1 and redrive_requested_at is not null order by redrive_requested_at"""
REFUSE = "update parked_keys set redrive_requested_at = null where consumer = $1 and topic = $2 and key = $3"
REASON = """
update parked_records set reason = $5 where consumer = $1 and topic = $2 and partition = $3 and "offset" = $4"""
UNPARK = """
delete from parked_records where consumer = $1 and topic = $2 and key = $3 and "offset" = any ($4::bigint[])"""
UNPARK_KEY = """
delete from parked_keys k where consumer = $1 and topic = $2 and key = $3 and not exists (
    select from parked_records r where r.consumer = k.consumer and r.topic = k.topic and r.key = k.key)"""


@dataclass(frozen=True, slots=True)
class Parked:
    """`source` and `position` are None when the headers could not be read."""

    consumer: str
    record: Record
    source: str | None
    position: int | None
    reason: str
    parked_at: datetime


# For operators and gates.


async def list_parked(
    connection: asyncpg.Connection, consumer: str | None = None, *, after: Parked | None = None, limit: int = 100
) -> list[Parked]:
    """Returns parked records in the order of their partitions; the next page comes after the last of this one."""
    place = (after.consumer, after.record.topic, after.record.partition, after.record.offset) if after else (None,) * 4
    return [_parked(row) for row in await connection.fetch(LIST_RECORDS, consumer, *place, limit)]


async def redrive(connection: asyncpg.Connection, consumer: str, key: str) -> Sequence[str]:
    """Asks the running consumer to take the key's records again, in order; returns the topics where it is parked.

    The consumer does it within seconds. The key stays parked until its last record is through, or with a new reason if
    one fails again.
    """
    return [row["topic"] for row in await connection.fetch(REQUEST, consumer, key.encode())]


async def is_parked(connection: asyncpg.Connection, consumer: str, key: str) -> bool:
    """Whether facts about the key wait here. A gate that rests on this consumer is closed for the key while they do."""
    return bool(await connection.fetchval(IS_PARKED, consumer, key.encode()))


async def parked_keys(connection: asyncpg.Connection, consumer: str) -> list[str]:
    """Returns the keys of which facts wait here: for a gate that is asked often, at most `parked_keys_max` of them."""
    return [row[0].decode(errors="replace") for row in await connection.fetch(PARKED_KEYS, consumer)]


# For the consumer, inside the transaction that locks its checkpoint.


async def parked_among(connection: asyncpg.Connection, consumer: str, lanes: Collection[Lane]) -> set[Lane]:
    topics, keys = [lane.topic for lane in lanes], [lane.key for lane in lanes]
    return {Lane(row["topic"], row["key"]) for row in await connection.fetch(FIND_KEYS, consumer, topics, keys)}


async def count_keys(connection: asyncpg.Connection, consumer: str) -> int:
    return int(await connection.fetchval(COUNT_KEYS, consumer))


async def park(connection: asyncpg.Connection, consumer: str, failed: Iterable[tuple[Record, str]]) -> None:
    """Takes records with reasons."""
    records = list(failed)
    topics = [record.topic for record, _ in records]
    partitions = [record.partition for record, _ in records]
    await connection.execute(PARK_KEYS, consumer, topics, partitions, [record.key for record, _ in records])
    await connection.executemany(PARK, [_row(consumer, record, reason) for record, reason in records])


async def redrives(connection: asyncpg.Connection, consumer: str) -> list[tuple[Partition, Lane]]:
    """Returns the keys an operator wants to be taken again, oldest wish first."""
    rows = await connection.fetch(REQUESTED, consumer)
    return [(Partition(row["topic"], row["partition"]), Lane(row["topic"], row["key"])) for row in rows]


async def parked_records(connection: asyncpg.Connection, consumer: str, lane: Lane, limit: int) -> list[Parked]:
    return [_parked(row) for row in await connection.fetch(LIST_LANE, consumer, lane.topic, lane.key, limit)]


async def unpark(connection: asyncpg.Connection, consumer: str, lane: Lane, offsets: Sequence[int]) -> bool:
    """Removes records that are through; returns whether they were the last, and the key is free again."""
    await connection.execute(UNPARK, consumer, lane.topic, lane.key, offsets)
    return str(await connection.execute(UNPARK_KEY, consumer, lane.topic, lane.key)) == "DELETE 1"


async def refuse(connection: asyncpg.Connection, consumer: str, record: Record, reason: str) -> None:
    """A redriven record failed again: the wish is over, the new reason is kept."""
    place = (consumer, record.topic, record.partition, record.offset)
    await connection.execute(REASON, *place, _printable(reason))
    await connection.execute(REFUSE, consumer, record.topic, record.key)


def _row(consumer: str, record: Record, reason: str) -> tuple[object, ...]:
    try:
        decoded = relay_headers.decode(record.headers)
        source, position = decoded.source, decoded.position
    except Poison:
        source, position = None, None
    flat = [part for name, value in record.headers for part in (name.encode(), value)]
    place = (consumer, record.topic, record.partition, record.offset, record.key)
    return (*place, source, position, flat, record.value, _printable(reason))


def _parked(row: asyncpg.Record) -> Parked:
    flat = row["headers"]
    headers = [(name.decode(), value) for name, value in zip(flat[::2], flat[1::2], strict=True)]
    record = Record(row["topic"], row["partition"], row["offset"], row["key"], row["value"], headers)
    return Parked(row["consumer"], record, row["source"], row["position"], row["reason"], row["parked_at"])


def _printable(reason: str) -> str:
    return reason.replace("\0", "")[:REASON_CHARACTERS_MAX]
