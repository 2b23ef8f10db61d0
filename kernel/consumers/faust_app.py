"""Faust, kept to what it does well: a group's partitions, rebalances, prefetch with back pressure, commits as a hint.

Between its fetches and an agent Faust puts two tasks, a queue and a stream around every single record, which is most of
what a record costs there. Records reach the handler by the fetch instead. And Faust's Kafka client runs in a thread of
its own, which contends with the service for the interpreter at every fetch. Here it runs in the service's event loop.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import faust
from aiokafka.errors import ConsumerStoppedError, KafkaError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from mode.threads import WorkerThread
from mode.utils.futures import maybe_async
from yarl import URL

from kernel.consumers.limits import ConsumerLimits
from kernel.consumers.reader import record_of
from kernel.consumers.records import Partition, Record
from kernel.relay.topic_ids import topic_ids
from kernel.tasks import is_being_cancelled

FETCH_WAIT_SECONDS = 1.0
BATCH_ENDS_SECONDS = 1.0
# So long what came of one partition may wait to be taken before aiokafka asks for more of the others alone. Kafka keeps
# such a request for 1.5 s when they have no more, and meanwhile nothing is asked of the one that has. aiokafka's 0.1 s
# is less than a large batch takes; much more would let a partition that is paused in a rebalance hold up all others.
UNTAKEN_SECONDS_MAX = 1.0

Handle = Callable[[Sequence[Record]], Awaitable[None]]


def build(
    name: str, kafka: str, topics: Sequence[str], folder: Path, handle: Handle, limits: ConsumerLimits
) -> faust.App:
    """Returns an app that hands every fetch of raw records to `handle`, which must not raise.

    To be called inside the running loop. Takes an existing folder for Faust's own files.
    """
    app = app_of(name, kafka, folder, limits)
    app.transport = _Transport(app, handle, limits)
    app.topics.add(app.topic(*topics, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw"))
    app.finalize()
    return app


def app_of(name: str, kafka: str, folder: Path, limits: ConsumerLimits) -> faust.App:
    """Returns an app with the settings of every consumer, that takes nothing yet."""
    return faust.App(
        name,
        broker=f"kafka://{kafka.replace(',', ';')}",
        datadir=folder,
        store="memory://",
        consumer_auto_offset_reset="earliest",
        broker_session_timeout=6,  # what group.min.session.timeout.ms allows
        broker_heartbeat_interval=1,
        broker_rebalance_timeout=8,  # a handler that is blocked stalls its group that long
        broker_request_timeout=20,
        broker_max_poll_interval=60,
        broker_max_poll_records=limits.batch_records_max,
        broker_commit_interval=1,
        stream_wait_empty=True,
        stream_buffer_maxsize=4096,
        stream_recovery_delay=0,
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
        worker_redirect_stdouts=False,
    )


async def ends(app: faust.App, partitions: Iterable[Partition]) -> dict[Partition, int]:
    """Returns the offset that the next record of each partition will have, asked on the app's own connection."""
    found = await app.consumer.highwaters(*(TP(*partition) for partition in partitions))
    return {Partition(*partition): end for partition, end in found.items()}


async def ids(app: faust.App, topics: Collection[str]) -> dict[str, UUID]:
    """Returns the ids of those topics that exist, asked on the app's own connection."""
    consumer: Any = app.consumer
    # Neither Faust nor aiokafka has such a request.
    return await topic_ids(consumer._thread._ensure_consumer()._client, topics)  # noqa: SLF001


async def stop(app: faust.App) -> None:
    """Ends it, and the batch that was under way: a handler left behind would work beside the next one. Nothing of a
    batch that was not brought to its end is acknowledged.
    """
    await app.stop()
    consumer: Any = app.consumer
    await consumer.abandon()


class _Transport(driver.Transport):
    """Faust's transport over aiokafka, with our consumer."""

    def __init__(self, app: faust.App, handle: Handle, limits: ConsumerLimits) -> None:
        super().__init__([URL(url) for url in app.conf.broker_consumer], app)
        self.handle = handle
        self.limits = limits

    def create_consumer(self, callback: Any, **options: Any) -> "_Consumer":  # noqa: ANN401 - as Faust declares them
        return _Consumer(self, callback=callback, loop=self.loop, **options)


class _Here(WorkerThread):
    """What Faust takes for a thread."""

    def start(self) -> None:
        self.run()


class _Client(driver.AIOKafkaConsumerThread):
    """Faust's Kafka client, without the thread that it was written for."""

    Worker = _Here

    async def on_start(self) -> None:
        await super().on_start()
        self._ensure_consumer()._fetcher._prefetch_backoff = UNTAKEN_SECONDS_MAX  # noqa: SLF001 - it is no setting

    def _start_thread(self) -> None:
        self._serving = asyncio.ensure_future(self._serve())

    async def call_thread(self, fun: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as Faust declares it
        return await maybe_async(fun(*args, **kwargs))

    async def _fetch_records(
        self,
        consumer: Any,  # noqa: ANN401 - as Faust declares it
        active_partitions: set[TP],
        timeout: float | None = None,
        max_records: int | None = None,
    ) -> Mapping[TP, list[Any]]:
        """Takes what has come of every partition, and of each no more than the maximum. aiokafka takes one partition
        after another: that is few keys at a time, and it is keys that go side by side.
        """
        found: dict[TP, list[Any]] = {}
        come = [each for each in consumer._fetcher._records if each in active_partitions]  # noqa: SLF001 - as Faust does
        for partition in come:
            try:
                found.update(await super()._fetch_records(consumer, {partition}, 0, max_records))
            except KafkaError:
                if not found:
                    raise
                break  # It comes again when it is all there is.
        return found or await super()._fetch_records(consumer, active_partitions, timeout, max_records)

    async def on_thread_stop(self) -> None:
        """aiokafka raises the cancel of a task of its own that had not begun; a cancel of ours goes on."""
        try:
            await super().on_thread_stop()
        except asyncio.CancelledError:
            if is_being_cancelled():
                raise

    async def _gather_remaining_tasks(self) -> None:
        """Nothing: the other tasks of this loop are the service's."""


class _Consumer(driver.Consumer):
    """Hands on whole fetches, one at a time, while the next is on its way.

    Faust may commit only what the handler has come back from.
    """

    transport: _Transport

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - as Faust declares them
        super().__init__(*arguments, **options)
        self._next_offsets: dict[TP, int] = {}
        self._under_way: asyncio.Future[None] | None = None

    def _new_consumer_thread(self) -> _Client:
        return _Client(self, loop=self.loop, thread_loop=self.loop, beacon=self.beacon)

    async def _drain_messages(self, fetcher: Any) -> None:  # noqa: ANN401 - a service of Faust
        """The body of Faust's fetcher, which is cancelled and started again as partitions come and go."""
        limits = self.transport.limits
        try:
            while not (self.should_stop or fetcher.should_stop):
                fetched, _ = await self._wait_next_records(FETCH_WAIT_SECONDS)
                is_full = sum(map(len, (fetched or {}).values())) >= limits.batch_records_max
                if fetched and not is_full:
                    # A cancel while this or the batch before is waited for leaves a gap, which the handler reads.
                    await asyncio.sleep(limits.give_way_seconds)
                if self._under_way is not None:
                    await asyncio.shield(self._under_way)
                if fetched:
                    # A task of its own, which a cancel does not reach: a batch that was begun is brought to its end.
                    self._under_way = asyncio.ensure_future(self._take(fetched))
                    if not is_full:
                        await asyncio.sleep(limits.gather_seconds)
        except ConsumerStoppedError:
            if not self.app.should_stop:
                raise

    async def abandon(self) -> None:
        if self._under_way is not None:
            await asyncio.wait([self._under_way], timeout=BATCH_ENDS_SECONDS)
            self._under_way.cancel()
            await asyncio.gather(self._under_way, return_exceptions=True)

    async def _take(self, fetched: Mapping[TP, Sequence[Any]]) -> None:
        await self.transport.handle([record_of(each) for records in fetched.values() for each in records])
        self._next_offsets |= {partition: records[-1].offset + 1 for partition, records in fetched.items() if records}

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterator[TP]:  # noqa: ANN401 - as Faust declares it
        return iter(self._next_offsets.keys() & self.assignment())

    def _new_offset(self, tp: TP) -> int | None:
        return self._next_offsets.get(tp)

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Nothing: Faust looks for records that stand still in its streams, and has none. The sweep looks here."""
