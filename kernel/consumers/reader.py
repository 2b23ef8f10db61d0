"""Reading a topic by offset, beside the consumer group: ends, gaps, and everything that lies far back."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError
from aiokafka.structs import ConsumerRecord

from kernel.consumers.records import Partition, Record
from kernel.tasks import is_being_cancelled

PAGE_RECORDS_MAX = 2_000
WAIT_MS = 2_000
REQUEST_TIMEOUT_MS = 8_000


class LogChanged(Exception):  # noqa: N818 - names the finding
    """The log is not the one the checkpoint was taken on: the topic was made anew, or records were deleted."""


class LogReader:
    """Every method raises KafkaError when Kafka does not answer."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap

    @asynccontextmanager
    async def consumer(self, *topics: str) -> AsyncIterator[AIOKafkaConsumer]:
        """A consumer of no group: nobody sees it, nothing is committed. With topics it has all their partitions."""
        consumer = AIOKafkaConsumer(
            *topics,
            bootstrap_servers=self._bootstrap,
            auto_offset_reset="latest" if topics else "none",
            enable_auto_commit=False,
            request_timeout_ms=REQUEST_TIMEOUT_MS,
            max_poll_records=PAGE_RECORDS_MAX,
        )
        try:
            await consumer.start()
            yield consumer
        finally:
            await _stopped(consumer)

    async def partitions(self, topics: Iterable[str]) -> list[Partition]:
        """Raises KafkaError, also for a topic that does not exist."""
        names = sorted(topics)
        async with self.consumer(*names) as consumer:
            counts = {topic: len(consumer.partitions_for_topic(topic) or ()) for topic in names}
        return [Partition(topic, number) for topic, count in counts.items() for number in range(count)]

    async def ends(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """Returns the offset that the next record of each partition will have."""
        async with self.consumer() as consumer:
            ends = await consumer.end_offsets([TopicPartition(*partition) for partition in partitions])
        return {Partition(*partition): end for partition, end in ends.items()}

    async def begins(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """Returns the offset of the first record of each partition."""
        async with self.consumer() as consumer:
            begins = await consumer.beginning_offsets([TopicPartition(*partition) for partition in partitions])
        return {Partition(*partition): begin for partition, begin in begins.items()}

    async def hint(self, group: str, next_offsets: Mapping[Partition, int]) -> None:
        """Moves the group's committed offsets, which are only a hint, to where its checkpoints are.

        Kafka refuses it while the group has members; they then know where they are.
        """
        consumer = AIOKafkaConsumer(bootstrap_servers=self._bootstrap, group_id=group, enable_auto_commit=False)
        with suppress(KafkaError):
            try:
                await consumer.start()
                offsets = {TopicPartition(*partition): offset for partition, offset in next_offsets.items()}
                consumer.assign(list(offsets))
                await consumer.commit(offsets)
            finally:
                await _stopped(consumer)

    async def pages(self, partition: Partition, low: int, high: int) -> AsyncGenerator[list[Record], None]:
        """Yields the records of [low, high) in order. Raises LogChanged when the log does not hold them."""
        if low >= high:
            return
        place = TopicPartition(*partition)
        async with self.consumer() as consumer:
            consumer.assign([place])
            consumer.seek(place, low)
            while low < high:
                try:
                    page = (await consumer.getmany(place, timeout_ms=WAIT_MS)).get(place, [])
                except OffsetOutOfRangeError as error:
                    raise LogChanged(f"{partition.topic}, partition {partition.number}, has no offset {low}") from error
                if not page:
                    raise KafkaError(f"no records of {partition.topic}, partition {partition.number}, came in time")
                if page[0].offset != low:
                    raise LogChanged(f"{partition.topic}, partition {partition.number}, has no offset {low}")
                low = page[-1].offset + 1
                yield [record_of(each) for each in page if each.offset < high]


async def _stopped(consumer: AIOKafkaConsumer) -> None:
    """Stops it. aiokafka raises the cancel of a task of its own that had not begun; a cancel of ours goes on."""
    try:
        await consumer.stop()
    except asyncio.CancelledError:
        if is_being_cancelled():
            raise


def record_of(record: ConsumerRecord) -> Record:
    return Record(
        record.topic, record.partition, record.offset, record.key or b"", record.value, tuple(record.headers or ())
    )
