"""Records that an operator has a consumer pass over; what they were is on record (operator_actions)."""

from collections.abc import Mapping, Sequence

import asyncpg

from kernel.consumers.records import Partition, Record

SKIPS = 'select topic, partition, "offset" from consumer_skips where consumer = $1'
FORGET = """
delete from consumer_skips s using unnest($2::text[], $3::integer[], $4::bigint[]) passed (topic, partition, at)
where s.consumer = $1 and s.topic = passed.topic and s.partition = passed.partition and s."offset" = passed.at"""

Fresh = Mapping[Partition, Sequence[Record]]


async def without_skipped(connection: asyncpg.Connection, consumer: str, fresh: Fresh) -> Fresh:
    """Returns these records without those to be passed over, whose wish is then over; in the batch's transaction."""
    wishes = {tuple(row) for row in await connection.fetch(SKIPS, consumer)}
    passed = [
        (each.topic, each.partition, each.offset)
        for records in fresh.values()
        for each in records
        if (each.topic, each.partition, each.offset) in wishes
    ]
    if not passed:
        return fresh
    await connection.execute(FORGET, consumer, *(list(column) for column in zip(*passed, strict=True)))
    return {
        partition: [each for each in records if (each.topic, each.partition, each.offset) not in passed]
        for partition, records in fresh.items()
    }
