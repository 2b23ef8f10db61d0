"""Kafka as the relay sees it: pages of facts in order per key, watermarks, and the tails of its own topics."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from functools import lru_cache

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError, KafkaTimeoutError, UnknownTopicOrPartitionError
from aiokafka.partitioner import DefaultPartitioner
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.structs import RecordMetadata

from holdspace.kernel.v1.envelope_pb2 import Watermark
from kernel.errors import WrongSetting
from kernel.facts import timestamp
from kernel.relay.headers import Encoded
from kernel.relay.topic_ids import Described, described, topic_ids

BATCH_BYTES_MAX = 768 * 1024
REQUEST_TIMEOUT_MS = 8_000
FETCH_WAIT_MS = 50  # a fetch that waits for records delays the next one
CLOSE_SECONDS = 3.0
KEYS_REMEMBERED = 65_536
WATERMARK_SECONDS_MAX = 3.0
LOOK_SECONDS = 5.0

log = structlog.get_logger()


Outgoing = tuple[str, bytes, bytes, int, Encoded]
"""Topic, key, the envelope as it is stored, milliseconds since 1970 when it was recorded, headers. A class would take
longer to make than these take to encode.
"""

Batches = dict[TopicPartition, deque[BatchBuilder]]
"""Records encoded for Kafka, in order within a partition."""


class Publisher:
    """Every method raises KafkaError when Kafka does not do its part; what it was to send may then be there or not.

    Watermarks go by a producer of their own, so that no fact waits for one.
    """

    def __init__(
        self,
        producer: AIOKafkaProducer,
        watermarks: AIOKafkaProducer,
        consumer: AIOKafkaConsumer,
        topics: Mapping[str, Described],
    ) -> None:
        self._producer = producer
        self._watermarks = watermarks
        self.consumer = consumer
        self._places = {
            topic: [TopicPartition(topic, number) for number in range(found.partitions)]
            for topic, found in topics.items()
        }
        self._topic_ids = {topic: found.topic_id for topic, found in topics.items()}
        self._ends: dict[TopicPartition, int] = {}  # what this producer has sent lies below these offsets
        self._looked_at = 0.0  # on the loop's clock
        self._missing: Collection[str] = ()  # watermark topics

    def all_partitions(self) -> list[TopicPartition]:
        """Of the topics that this service owns."""
        return [place for places in self._places.values() for place in places]

    async def publish(self, facts: Iterable[Outgoing]) -> None:
        """Returns when all are acknowledged."""
        batches: Batches = {}
        self.add(facts, batches)
        await self.send(batches)

    def add(self, facts: Iterable[Outgoing], to: Batches) -> None:
        """Encodes the facts behind those that are there."""
        for topic, key, value, at, headers in facts:
            places = self._places[topic]
            place = places[partition_of(key, len(places))]
            queue = to.get(place)
            if queue is None:
                queue = to[place] = deque([self._producer.create_batch()])
            if queue[-1].append(timestamp=at, key=key, value=value, headers=headers) is None:  # It is full.
                queue.append(self._producer.create_batch())
                queue[-1].append(timestamp=at, key=key, value=value, headers=headers)

    async def send(self, batches: Batches) -> int:
        """Returns how many records it was, when all are acknowledged.

        One batch per partition is under way at a time. Were the next one sent before the answer, it could arrive
        without the first, and consumers, who go by position, would drop the first when it is sent again.
        """
        sent = 0
        while batches:
            first = {partition: queue.popleft() for partition, queue in batches.items()}
            # Handed over before any is sent, so that all go in one request: the producer has one at a time under way.
            under_way = [await self._hand_over(partition, batch) for partition, batch in first.items()]
            for partition, told in zip(first, await asyncio.gather(*under_way), strict=True):
                records = first[partition].record_count()
                if told.offset < 0:  # Kafka had it already, and no longer knows where.
                    self._ends.pop(partition, None)
                else:
                    self._ends[partition] = told.offset + records
                sent += records
            batches = {partition: queue for partition, queue in batches.items() if queue}
        return sent

    async def _hand_over(self, partition: TopicPartition, batch: BatchBuilder) -> asyncio.Future[RecordMetadata]:
        batch.close()
        told: asyncio.Future[RecordMetadata] = await self._producer.send_batch(
            batch, partition.topic, partition=partition.partition
        )
        return told

    def _sent_up_to(self, partition: TopicPartition, end_offset: int) -> None:
        self._ends[partition] = max(end_offset, self._ends.get(partition, 0))

    async def watermark(self, source: str, position: int, store_time: datetime) -> None:
        """Says in every partition that everything up to the position is there. It must have been acknowledged.

        Where a watermark topic is missing the others have theirs, and UnknownTopicOrPartitionError is raised.
        """
        await self._look_at_topics()
        try:
            async with asyncio.timeout(WATERMARK_SECONDS_MAX):
                await self._say(source, position, store_time)
        except TimeoutError as error:
            self._looked_at = 0.0
            raise KafkaTimeoutError("watermarks were not acknowledged in time") from error
        if self._missing:
            raise UnknownTopicOrPartitionError(f"missing: {', '.join(sorted(self._missing))}")

    async def _look_at_topics(self) -> None:
        """Finds watermark topics that are missing, and topics that were made anew: their offsets begin again."""
        now = asyncio.get_running_loop().time()
        if not self._missing and now - self._looked_at < LOOK_SECONDS:
            return
        wanted = {watermark_topic(topic) for topic in self._places}
        found = await topic_ids(self.consumer._client, [*self._places, *wanted])  # noqa: SLF001 - as topic_ids says
        self._missing = wanted - found.keys()
        for topic in self._places:
            if found.get(topic, self._topic_ids[topic]) != self._topic_ids[topic]:
                log.error("a topic was made anew: it lacks what was published before", topic=topic)
                self._topic_ids[topic] = found[topic]
                for place in self._places[topic]:
                    self._ends.pop(place, None)
        self._looked_at = now

    async def _say(self, source: str, position: int, store_time: datetime) -> None:
        if unknown := set(self.all_partitions()) - self._ends.keys():
            for partition, end_offset in (await self.consumer.end_offsets(list(unknown))).items():
                self._sent_up_to(partition, end_offset)
        acknowledgements = []
        for partition, end_offset in list(self._ends.items()):  # facts are sent meanwhile
            value = Watermark(
                source=source, position=position, store_time=timestamp(store_time), end_offset=end_offset
            ).SerializeToString()
            topic = watermark_topic(partition.topic)
            if topic not in self._missing:
                acknowledgements.append(await self._watermarks.send(topic, value, partition=partition.partition))
        await asyncio.gather(*acknowledgements)


@asynccontextmanager
async def publisher(bootstrap: str, topics: Iterable[str]) -> AsyncIterator[Publisher]:
    """Raises KafkaError when Kafka is away or a topic of facts is missing, WrongSetting when a watermark topic does not
    fit, TimeoutError when the connection cannot be closed.
    """
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap,
        enable_idempotence=True,
        acks="all",
        max_batch_size=BATCH_BYTES_MAX,
        max_request_size=2 * BATCH_BYTES_MAX,
        request_timeout_ms=REQUEST_TIMEOUT_MS,
    )
    watermarks = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", request_timeout_ms=REQUEST_TIMEOUT_MS)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        request_timeout_ms=REQUEST_TIMEOUT_MS,
        fetch_max_wait_ms=FETCH_WAIT_MS,
    )
    try:
        await producer.start()
        await watermarks.start()
        await consumer.start()
        yield Publisher(producer, watermarks, consumer, await _described(consumer, sorted(topics)))
    finally:
        # In time or not at all: a producer left behind would go on sending, so the role ends with a TimeoutError.
        with suppress(KafkaError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await asyncio.gather(producer.stop(), watermarks.stop(), consumer.stop())


def watermark_topic(topic: str) -> str:
    return f"{topic}.watermark"


@lru_cache(KEYS_REMEMBERED)
def partition_of(key: bytes, partitions: int) -> int:
    """Returns the partition that Kafka's own default partitioner (murmur2) gives the key."""
    return int(DefaultPartitioner()(key, range(partitions), ()))


async def _described(consumer: AIOKafkaConsumer, topics: Collection[str]) -> dict[str, Described]:
    client = consumer._client  # noqa: SLF001 - aiokafka has no such request
    found = await described(client, [*topics, *map(watermark_topic, topics)])
    if missing := [topic for topic in topics if topic not in found]:
        raise UnknownTopicOrPartitionError(f"topic {missing[0]} does not exist")
    for topic in topics:
        companion = found.get(watermark_topic(topic))
        if companion is not None and companion.partitions != found[topic].partitions:
            raise WrongSetting(f"{watermark_topic(topic)} has not as many partitions as {topic}")
    return {topic: found[topic] for topic in topics}
