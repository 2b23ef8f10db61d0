"""Is each topic still the one that the checkpoints were taken on? Told by Kafka's id of it, kept beside them.

A checkpoint on a topic that was made anew would go on in its middle. And between the making and the finding records of
the new one may have been taken; so each mark also has a position it had while the topic was known to be the old one.
"""

from collections.abc import Mapping, Sequence
from uuid import UUID

import asyncpg

from kernel.consumers.reader import LogChanged

KNOW = """
insert into consumer_topics (consumer, topic, topic_id)
select $1, * from unnest($2::text[], $3::uuid[]) on conflict do nothing"""
KNOWN = "select topic, topic_id from consumer_topics where consumer = $1"
UNCONFIRMED = """
select topic, partition, source, position from consumer_marks where consumer = $1 and position <> confirmed"""
CONFIRM = """
update consumer_marks m set confirmed = taken.position
from unnest($2::text[], $3::integer[], $4::text[], $5::bigint[]) taken (topic, partition, source, position)
where m.consumer = $1 and m.topic = taken.topic and m.partition = taken.partition and m.source = taken.source"""

Taken = Sequence[asyncpg.Record]
"""Marks as they were before the topics were asked for their ids."""


async def know(connection: asyncpg.Connection, consumer: str, found: Mapping[str, UUID]) -> None:
    """Keeps the ids of topics that are new to the consumer. Raises LogChanged for one that has another id now."""
    await connection.execute(KNOW, consumer, list(found), list(found.values()))
    await _compare(connection, consumer, found)


async def unconfirmed(connection: asyncpg.Connection, consumer: str) -> Taken:
    return list(await connection.fetch(UNCONFIRMED, consumer))


async def confirm(connection: asyncpg.Connection, consumer: str, found: Mapping[str, UUID], taken: Taken) -> None:
    """Takes ids that were asked for after these marks were read. Raises LogChanged, and confirms nothing then."""
    await _compare(connection, consumer, found)
    sure = [row for row in taken if row["topic"] in found]
    if sure:
        await connection.execute(CONFIRM, consumer, *(list(column) for column in zip(*sure, strict=True)))


async def _compare(connection: asyncpg.Connection, consumer: str, found: Mapping[str, UUID]) -> None:
    """A topic that is missing says nothing: no record can come of it."""
    for row in await connection.fetch(KNOWN, consumer):
        topic, known = row["topic"], row["topic_id"]
        if found.get(topic, known) != known:
            raise LogChanged(
                f"{topic} was deleted and made anew: it has id {found[topic]}, the checkpoints are of {known}"
            )
