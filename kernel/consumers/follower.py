"""Follows the watermarks of a consumer's topics and saves those it has reached."""

import asyncio
from collections.abc import Sequence

import asyncpg
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from kernel.clock import Clock
from kernel.consumers import checkpoints, watermarks
from kernel.consumers.limits import ConsumerMetrics
from kernel.consumers.passing import is_passing
from kernel.consumers.reader import LogReader
from kernel.consumers.watermarks import Pending, Saver
from kernel.relay.publisher import watermark_topic
from kernel.store.connections import connect

# Watermarks trickle in, one per partition and second; they are taken together, twice a second at most.
PAUSE_SECONDS = 0.4
WAIT_MS = 600
RETRY_SECONDS = 1.0


class WatermarkFollower:
    def __init__(
        self,
        consumer: str,
        topics: Sequence[str],
        database_url: str,
        service: str,
        reader: LogReader,
        metrics: ConsumerMetrics,
        clock: Clock,
    ) -> None:
        self._consumer = consumer
        self._about = {watermark_topic(topic): topic for topic in topics}
        self._database_url = database_url
        self._service = service
        self._reader = reader
        self._metrics = metrics
        self._clock = clock

    async def run(self) -> None:
        """Never returns; what does not answer is asked again."""
        while True:
            try:
                await self._follow()
            except Exception as error:
                if not (is_passing(error) or isinstance(error, KafkaError)):
                    raise
                await asyncio.sleep(RETRY_SECONDS)

    async def _follow(self) -> None:
        role, path = f"{self._service}_api", f"{self._service}, public"
        # What a crash forgets is said again a second later.
        connection = await connect(self._database_url, role=role, search_path=path, synchronous_commit="off")
        try:
            async with self._reader.consumer(*self._about) as kafka:
                pending, saver = Pending(), Saver(connection, self._consumer)
                while True:
                    await self._step(kafka, connection, pending, saver)
        finally:
            connection.terminate()

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
        if fresh_at is not None:
            lag = self._clock.now() - fresh_at
            self._metrics.lag_seconds(self._consumer, max(0.0, lag.total_seconds()))
