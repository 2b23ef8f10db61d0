"""Reading a topic by offset, beside the consumer group: ends, gaps, and everything that lies far back."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Iterable, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from datetime import datetime
from uuid import UUID

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, KafkaTimeoutError, OffsetOutOfRangeError
from aiokafka.structs import ConsumerRecord

from kernel.consumers.records import Partition, Record
from kernel.consumers.watermarks import Reached, read_watermark
from kernel.relay.publisher import watermark_topic
from kernel.relay.topic_ids import topic_ids
from kernel.tasks import is_being_cancelled

PAGE_RECORDS_MAX = 2_000
WAIT_MS = 2_000
WATERMARKS_MAX = 100  # each source writes one a second
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

    async def topic_ids(self, topics: Collection[str]) -> dict[str, UUID]:
        """Returns the ids of those topics that exist."""
        async with self.consumer() as consumer:
            return await topic_ids(consumer._client, topics)  # noqa: SLF001 - aiokafka has no such request

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

    async def offsets_at(self, topic: str, at: datetime) -> dict[int, int]:
        """Returns the first offset of each partition recorded at that instant or later, of those that have one."""
        async with self.consumer(topic) as consumer:
            asked = dict.fromkeys(consumer.assignment(), int(at.timestamp() * 1000))
            found = await consumer.offsets_for_times(asked)
        return {place.partition: told.offset for place, told in found.items() if told is not None}

    async def watermarks(self, partition: Partition) -> list[Reached]:
        """Returns the last watermarks written about a partition, oldest first. Raises KafkaError, also if none come."""
        place = TopicPartition(watermark_topic(partition.topic), partition.number)
        found: list[Reached | None] = []
        async with self.consumer() as consumer:
            begin = (await consumer.beginning_offsets([place]))[place]
            end = (await consumer.end_offsets([place]))[place]
            consumer.assign([place])
            consumer.seek(place, max(begin, end - WATERMARKS_MAX))
            while await consumer.position(place) < end:
                fetched = await consumer.getmany(place, timeout_ms=WAIT_MS)
                if not fetched:
                    raise KafkaTimeoutError(f"no records of {place.topic} came in time")
                found += [read_watermark(record.value) for record in fetched[place]]
        return [each for each in found if each is not None]

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
        async with aclosing(self.pages_of({partition: range(low, high)})) as pages:
            async for page in pages:
                yield page

    async def pages_of(self, ranges: Mapping[Partition, range]) -> AsyncGenerator[list[Record], None]:
        """Yields the records of these offsets as they come, those of a partition in order. Raises LogChanged."""
        left = {TopicPartition(*partition): offsets for partition, offsets in ranges.items() if offsets}
        if not left:
            return
        async with self.consumer() as consumer:
            consumer.assign(list(left))
            for place, offsets in left.items():
                consumer.seek(place, offsets.start)
            while left:
                try:
                    fetched = await consumer.getmany(*left, timeout_ms=WAIT_MS)
                except OffsetOutOfRangeError as error:
                    raise LogChanged(f"the log does not hold {_told(left)}") from error
                if not fetched:
                    raise KafkaError(f"no records of {_told(left)} came in time")
                for place, records in fetched.items():
                    if records[0].offset != left[place].start:
                        raise LogChanged(f"the log does not hold {_told({place: left[place]})}")
                    left[place] = range(records[-1].offset + 1, left[place].stop)
                page = [record_of(e) for place, some in fetched.items() for e in some if e.offset < left[place].stop]
                # Kafka keeps a request for half a second when there is no more of what it asks for.
                consumer.pause(*(place for place, offsets in left.items() if not offsets))
                left = {place: offsets for place, offsets in left.items() if offsets}
                yield page


def _told(ranges: Mapping[TopicPartition, range]) -> str:
    return "; ".join(f"{place.topic}, partition {place.partition}, from {o.start}" for place, o in ranges.items())


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
