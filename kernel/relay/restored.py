"""Has the store lost facts that were published? A restore from backup does that, and must not go unnoticed.

The store goes on from the position it was restored to. Consumers have seen other facts at the same positions and would
drop the new ones as sent twice.
"""

from collections.abc import Sequence

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.structs import ConsumerRecord

from kernel.errors import Poison
from kernel.relay.headers import decode
from kernel.relay.publisher import Publisher
from kernel.relay.session import RelaySession

READ_FACT = "select fact from facts where position = $1"
READ_HEAD = "select coalesce(max(position), 0) from facts"

# A page sent twice ends below the highest position, so more than one page is read. A partition that holds only records
# of other cells is searched so far back and no further.
TAIL_RECORDS = 2_000
TAIL_RECORDS_MAX = 64_000
READ_TIMEOUT_MS = 5_000


class StoreRestored(Exception):  # noqa: N818 - names the finding
    """A topic holds a fact of this source that the store does not hold, or holds differently."""


async def refuse_restored(publisher: Publisher, session: RelaySession, source: str) -> None:
    """Compares the last fact of the source in every partition with the store. Raises StoreRestored, or KafkaError."""
    for topic, partitions in publisher.partitions.items():
        for number in range(partitions):
            published = await _last_published(publisher.consumer, TopicPartition(topic, number), source)
            if published is None:
                continue
            position, fact = published
            stored = await session.fetch(READ_FACT, position)
            if not stored or stored[0]["fact"] != fact:
                head = (await session.fetch(READ_HEAD))[0][0]
                raise StoreRestored(
                    f"{topic}, partition {number}, holds a fact of {source} at position {position} that the store does"
                    f" not hold (its head is {head}). If the store was restored from a backup, reconcile it"
                )


async def _last_published(
    consumer: AIOKafkaConsumer, partition: TopicPartition, source: str
) -> tuple[int, bytes] | None:
    """Returns the highest position of the source near the partition's end, with its fact."""
    begin = (await consumer.beginning_offsets([partition]))[partition]
    end = (await consumer.end_offsets([partition]))[partition]
    consumer.assign([partition])
    high, length = end, TAIL_RECORDS
    while high > begin and end - high < TAIL_RECORDS_MAX:
        low = max(begin, high - length)
        found = max(_of_source(await _read(consumer, partition, low, high), source), default=None)
        if found is not None:
            return found
        high, length = low, 2 * length
    return None


async def _read(consumer: AIOKafkaConsumer, partition: TopicPartition, low: int, high: int) -> list[ConsumerRecord]:
    consumer.seek(partition, low)
    records: list[ConsumerRecord] = []
    while await consumer.position(partition) < high:
        page = await consumer.getmany(partition, timeout_ms=READ_TIMEOUT_MS)
        records += page.get(partition, [])
    return [record for record in records if record.offset < high]


def _of_source(records: Sequence[ConsumerRecord], source: str) -> list[tuple[int, bytes]]:
    found = []
    for record in records:
        try:
            headers = decode(record.headers)
        except Poison:
            continue  # Not a relay's.
        if headers.source == source:
            found.append((headers.position, record.value))
    return found
