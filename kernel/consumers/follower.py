"""Follows the watermarks of a consumer's topics and saves those it has reached."""

import asyncio
from collections.abc import Mapping, Sequence
from math import isnan, nan
from uuid import UUID

import asyncpg
import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from kernel.clock import Clock
from kernel.consumers import checkpoints, watermarks
from kernel.consumers.horizon import Horizon
from kernel.consumers.limits import ConsumerMetrics
from kernel.consumers.passing import is_passing
from kernel.consumers.reader import LogReader
from kernel.consumers.watermarks import Pending, Saver
from kernel.relay.publisher import watermark_topic
from kernel.relay.topic_ids import topic_ids
from kernel.store.connections import connect

# Watermarks trickle in, one per partition and second; they are taken together, twice a second at most.
PAUSE_SECONDS = 0.4
WAIT_MS = 600
RETRY_SECONDS = 1.0
LOOK_SECONDS = 3.0  # between two looks whether a topic was made anew

log = structlog.get_logger()


class WatermarkFollower:
    def __init__(
        self,
        consumer: str,
        topics: Sequence[str],
        database_url: str,
        service: str,
        reader: LogReader,
        horizon: Horizon,
        metrics: ConsumerMetrics,
        clock: Clock,
    ) -> None:
        self._consumer = consumer
        self._about = {watermark_topic(topic): topic for topic in topics}
        self._database_url = database_url
        self._service = service
        self._reader = reader
        self._horizon = horizon
        self._metrics = metrics
        self._clock = clock
        self._known: dict[str, UUID] = {}  # ids of watermark topics, as last seen
        self._missing: list[str] = []
        self._lacking: set[str] = set()  # sources that were not heard of everywhere at the last look
        self._told: set[str] = set()  # those of them that are in the log

    async def run(self) -> None:
        """Never returns; what does not answer is asked again."""
        try:
            while True:
                try:
                    await self._follow()
                except Exception as error:
                    if not (is_passing(error) or isinstance(error, KafkaError)):
                        raise
                    self._metrics.lag_seconds(self._consumer, nan)
                    await asyncio.sleep(RETRY_SECONDS)
        finally:
            self._metrics.lag_seconds(self._consumer, nan)  # What is not known is not what it was last.

    async def _follow(self) -> None:
        """Follows for as long as the watermark topics are the ones they are now. Those made anew are read from their
        start: what was written before they were found is not written again.
        """
        role, path = f"{self._service}_api", f"{self._service}, public"
        # What a crash forgets is said again a second later.
        connection = await connect(self._database_url, role=role, search_path=path, synchronous_commit="off")
        try:
            async with self._reader.consumer(*self._about) as kafka:
                found = await self._topic_ids(kafka)
                await self._begin_again(kafka, found)
                self._known |= found
                pending, saver = Pending(self._horizon), Saver(connection, self._consumer)
                while await self._still(kafka, found):
                    until = asyncio.get_running_loop().time() + LOOK_SECONDS
                    while asyncio.get_running_loop().time() < until:
                        await self._step(kafka, connection, pending, saver)
                    self._tell_sources(await watermarks.source_ages(connection, self._consumer))
        finally:
            connection.terminate()

    async def _topic_ids(self, kafka: AIOKafkaConsumer) -> dict[str, UUID]:
        return await topic_ids(kafka._client, self._about)  # noqa: SLF001 - aiokafka has no such request

    async def _begin_again(self, kafka: AIOKafkaConsumer, found: Mapping[str, UUID]) -> None:
        anew = {topic for topic, topic_id in found.items() if self._known.get(topic, topic_id) != topic_id}
        places = [place for place in kafka.assignment() if place.topic in anew]
        if places:
            log.warning("watermark topics were made anew", consumer=self._consumer, topics=sorted(anew))
            await kafka.seek_to_beginning(*places)

    async def _still(self, kafka: AIOKafkaConsumer, found: Mapping[str, UUID]) -> bool:
        """Whether the topics are those found. While they are missing, what is left is followed."""
        now = await self._topic_ids(kafka)
        missing = sorted(self._about.keys() - now.keys())
        if missing and missing != self._missing:
            log.warning("watermark topics are missing: gates that rest on them close", topics=missing)
        self._missing = missing
        return all(found.get(topic) == topic_id for topic, topic_id in now.items())

    def _tell_sources(self, ages: Mapping[str, float]) -> None:
        """Names whom gates wait for: a cell that is gone, or one that never was meant to publish."""
        self._metrics.source_ages(self._consumer, ages)
        lacking = {source for source, age in ages.items() if isnan(age)}
        for source in sorted(lacking & self._lacking - self._told):
            log.warning("a source is not heard of everywhere: gates close", consumer=self._consumer, source=source)
        self._told = self._told & lacking | lacking & self._lacking
        self._lacking = (
            lacking  # A new source is heard of in one partition after another, so it is told the second time.
        )

    async def _step(
        self, kafka: AIOKafkaConsumer, connection: asyncpg.Connection, pending: Pending, saver: Saver
    ) -> None:
        await asyncio.sleep(PAUSE_SECONDS)
        for records in (await kafka.getmany(timeout_ms=WAIT_MS)).values():
            pending.add(records, self._about)
        reached = pending.take_reached(await checkpoints.read(connection, self._consumer))
        if reached:
            await saver.save(reached)
        fresh_at = await watermarks.freshness(connection, self._consumer)
        lag = nan if fresh_at is None else max(0.0, (self._clock.now() - fresh_at).total_seconds())
        self._metrics.lag_seconds(self._consumer, lag)
