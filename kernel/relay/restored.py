"""Has the store lost facts that were published? A restore from backup does that, and must not go unnoticed.

The store goes on from the position it was restored to. Consumers have seen other facts at the same positions and would
drop the new ones as sent twice.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaTimeoutError
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

Offsets = Mapping[TopicPartition, int]
Published = dict[TopicPartition, tuple[int, bytes]]


class StoreRestored(Exception):  # noqa: N818 - names the finding
    """A topic holds a fact of this source that the store does not hold, or holds differently."""


async def refuse_restored(publisher: Publisher, session: RelaySession, source: str) -> None:
    """Compares the last fact of the source in every partition with the store. Raises StoreRestored, or KafkaError."""
    for partition, (position, fact) in (await _last_published(publisher, source)).items():
        stored = await session.fetch(READ_FACT, position)
        if not stored or stored[0]["fact"] != fact:
            head = (await session.fetch(READ_HEAD))[0][0]
            raise StoreRestored(
                f"{partition.topic}, partition {partition.partition}, holds a fact of {source} at position {position}"
                f" that the store does not hold (its head is {head}). If it was restored from a backup, reconcile it"
            )


async def _last_published(publisher: Publisher, source: str) -> Published:
    """Returns the highest position of the source near the end of each partition, with its fact."""
    partitions = publisher.all_partitions()
    begins = await publisher.consumer.beginning_offsets(partitions)
    ends = await publisher.consumer.end_offsets(partitions)
    found: Published = {}
    highs, length = dict(ends), TAIL_RECORDS
    while True:
        highs = {
            partition: high
            for partition, high in highs.items()
            if partition not in found and high > begins[partition] and ends[partition] - high < TAIL_RECORDS_MAX
        }
        if not highs:
            publisher.consumer.unsubscribe()  # or it would go on fetching what the relay sends
            return found
        lows = {partition: max(begins[partition], high - length) for partition, high in highs.items()}
        found |= await _highest(publisher.consumer, lows, highs, source)
        highs, length = lows, 2 * length


async def _highest(consumer: AIOKafkaConsumer, lows: Offsets, highs: Offsets, source: str) -> Published:
    """Returns the highest position of the source in each range of offsets that has one, with its fact."""
    found: Published = {}
    reached = dict(lows)
    consumer.assign(list(lows))
    for partition, low in lows.items():
        consumer.seek(partition, low)
    while any(reached[partition] < high for partition, high in highs.items()):
        pages = await consumer.getmany(timeout_ms=READ_TIMEOUT_MS)
        if not pages:
            raise KafkaTimeoutError("the tails of the topics did not come in time")
        for partition, records in pages.items():
            reached[partition] = records[-1].offset + 1
            below = (record for record in records if record.offset < highs[partition])
            highest = max(_of_source(below, source), default=None)
            if highest is not None:
                found[partition] = max(highest, found.get(partition, highest))
    return found


def _of_source(records: Iterable[ConsumerRecord], source: str) -> Iterator[tuple[int, bytes]]:
    for record in records:
        with suppress(Poison):  # Not a relay's.
            headers = decode(record.headers)
            if headers.source == source:
                yield headers.position, record.value
