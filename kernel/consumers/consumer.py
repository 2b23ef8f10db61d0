"""A consumer of foreign facts, as a role of its service."""

import asyncio
import random
import tempfile
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import faust
import structlog
from aiokafka.errors import KafkaError, UnknownTopicOrPartitionError
from google.protobuf.message import Message

from kernel.backoff import backoff_seconds
from kernel.clock import Clock
from kernel.consumers import checkpoints, faust_app, halt, horizon, same_log
from kernel.consumers.fence import Fence
from kernel.consumers.follower import WatermarkFollower
from kernel.consumers.halt import exit_hard_after
from kernel.consumers.handler import BatchHandler
from kernel.consumers.limits import ConsumerLimits, ConsumerMetrics
from kernel.consumers.listing import Listing, On
from kernel.consumers.passing import is_passing
from kernel.consumers.reader import LogReader
from kernel.consumers.records import Partition, Record
from kernel.consumers.sweep import Sweep, check_ends
from kernel.errors import WrongSetting
from kernel.facts import FactTypes
from kernel.tasks import first_to_end

START_SECONDS = 60.0
LEAVE_SECONDS = 3.0  # for Kafka to be told
STOP_SECONDS = 5.0
PAUSE_SECONDS = 5.0  # before it begins anew
CRASH_POLL_SECONDS = 0.1

log = structlog.get_logger()
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class ConsumerSettings:
    database_url: str
    kafka: str  # host:port, several with commas
    service: str  # also the name of its schema
    cell: str  # each has its own database, and so reads every partition


class FaustEnded(Exception):  # noqa: N818 - names the finding
    """Faust gave up on its own."""


class Consumer:
    """Reads the topics of the facts it handles, in as many processes as partitions at most.

    `name` is the consumer's identity in Postgres, and with the cell in Kafka: a new one starts with nothing.
    `fact_types` knows the types of `entries` and `ignores`; a type on those topics that is in neither list halts it.
    """

    def __init__(
        self,
        name: str,
        settings: ConsumerSettings,
        fact_types: FactTypes,
        entries: Sequence[On],
        ignores: Iterable[type[Message]],
        metrics: ConsumerMetrics,
        clock: Clock,
        *,
        limits: ConsumerLimits | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """Raises WrongSetting for lists that contradict each other."""
        self.name = name
        self._group = f"{name}.{settings.cell}"
        self._settings = settings
        self._listing = Listing(fact_types, entries, ignores)
        self._metrics = metrics
        self._clock = clock
        self._limits = limits or ConsumerLimits()
        self._jitter = jitter
        self._reader = LogReader(settings.kafka)
        self._halted = ""  # why
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Waits for its servers and topics, then consumes until `stop`.

        What it must not go on from halts it: one log line, a metric, a row for operators. It takes nothing then, so
        gates that rest on it go stale and close; and it tries again after a pause, for a person may have put it right.

        Raises WrongSetting when the lists contradict what this consumer has done before.
        """
        await first_to_end(self._run(), self._stopping.wait())

    async def stop(self) -> None:
        """A stop that takes longer than 5 s ends the process: nothing is lost, and what was under way is done again."""
        self._stopping.set()

    async def _run(self) -> None:
        while True:
            fence = Fence(self._settings.database_url, self._settings.service, self.name)
            try:
                await self._consume(await self._asked_again(partial(self._prepare, fence), fence), fence)
            except WrongSetting:
                raise
            except Exception as error:
                if is_passing(error) or isinstance(error, (KafkaError, FaustEnded)):
                    log.warning("consumer begins anew", consumer=self.name, reason=repr(error))
                else:
                    await self._halt(repr(error), fence)
            finally:
                fence.renew()
            await asyncio.sleep(PAUSE_SECONDS)

    async def _halt(self, reason: str, fence: Fence) -> None:
        if self._halted != reason:
            log.critical("consumer halts", consumer=self.name, reason=reason)
        self._halted = reason
        self._metrics.halted(self.name, halted=True)
        fence.renew()
        try:
            await halt.note(await fence.connection(), self.name, reason)
        except Exception as error:
            if not is_passing(error):
                raise
            log.warning("cannot note why the consumer halts", consumer=self.name, reason=repr(error))

    async def _goes_on(self, handler: BatchHandler) -> None:
        """Once it has come past what halted it."""
        await handler.goes_on()
        if self._halted:
            log.info("consumer goes on", consumer=self.name)
        self._halted = ""
        self._metrics.halted(self.name, halted=False)

    async def _asked_again(self, ask: Callable[[], Awaitable[Answer]], fence: Fence) -> Answer:
        """Repeats what needs the servers until they answer."""
        attempt = 0
        while True:
            try:
                return await ask()
            except Exception as error:
                if not (is_passing(error) or isinstance(error, KafkaError)):
                    raise
                if attempt == 0:
                    log.warning("consumer waits to start", consumer=self.name, reason=repr(error))
                fence.renew()
            await asyncio.sleep(backoff_seconds(attempt, self._jitter))
            attempt += 1

    async def _prepare(self, fence: Fence) -> BatchHandler:
        partitions = await self._reader.partitions(self._listing.topics)
        topic_ids = await self._reader.topic_ids(self._listing.topics)
        if topic_ids.keys() != self._listing.topics:
            raise UnknownTopicOrPartitionError
        begins = await self._reader.begins(partitions)
        connection = await fence.connection()
        await same_log.know(connection, self.name, topic_ids)
        await checkpoints.create(connection, self.name, begins)
        known = await horizon.load(connection, self.name)
        since = await checkpoints.list_types(connection, self.name, self._listing, self._clock.now())
        return BatchHandler(
            self.name, self._listing, since, fence, self._reader, self._metrics, self._limits, self._jitter, known
        )

    async def _catch_up(self, handler: BatchHandler) -> None:
        """Reads in bulk what lies far back, then shows Kafka where the group is, so that Faust does not start there."""
        next_offsets = await handler.next_offsets()
        ends = await self._reader.ends(next_offsets)
        check_ends(next_offsets, ends)
        behind = {p: ends[p] - offset for p, offset in next_offsets.items()}
        far = {p: ends[p] for p, records in behind.items() if records >= self._limits.catch_up_records_min}
        if far:
            log.info("consumer catches up", consumer=self.name, records=sum(behind[p] for p in far))
            await handler.read_up_to(far)
        await self._reader.hint(self._group, await handler.next_offsets())

    async def _consume(self, handler: BatchHandler, fence: Fence) -> None:
        """Raises what must not be gone on from, and takes nothing after it."""
        await self._asked_again(lambda: self._catch_up(handler), fence)
        failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def take(records: Sequence[Record]) -> None:
            try:
                await handler.handle(records)
            except Exception as error:
                if not failed.done():
                    failed.set_exception(error)
                raise

        topics = sorted(self._listing.topics)
        settings = self._settings
        with tempfile.TemporaryDirectory(prefix="faust-", ignore_cleanup_errors=True) as folder:
            app = faust_app.build(self._group, settings.kafka, topics, Path(folder), take, self._limits)
            ends, topic_ids = partial(faust_app.ends, app), partial(faust_app.ids, app, topics)
            goes_on = partial(self._goes_on, handler)
            sweep = Sweep(self.name, handler, ends, topic_ids, lambda: _assigned(app), self._metrics, goes_on)
            follower = WatermarkFollower(
                self.name,
                topics,
                settings.database_url,
                settings.service,
                self._reader,
                handler.horizon,
                self._metrics,
                self._clock,
            )
            try:
                await self._start(app)
                log.info("consumer started", consumer=self.name, topics=topics)
                await first_to_end(sweep.run(), follower.run(), _watch(app, failed))
            finally:
                with exit_hard_after(self.name, STOP_SECONDS):
                    await self._leave(app)

    async def _start(self, app: faust.App) -> None:
        """Faust waits for ever when the broker refuses its settings."""
        start = asyncio.ensure_future(app.start())
        try:
            await asyncio.wait([start], timeout=START_SECONDS)
            if not start.done():
                raise FaustEnded(f"it did not start within {START_SECONDS:g} s")
            start.result()
        finally:
            start.cancel()

    async def _leave(self, app: faust.App) -> None:
        """A process that stops does not wait for a Kafka that hangs: left without a word, that gives the partitions to
        others a few seconds later, and what counts is in Postgres.
        """
        try:
            async with asyncio.timeout(LEAVE_SECONDS if self._stopping.is_set() else None):
                await faust_app.stop(app)
        except TimeoutError:
            log.warning("consumer leaves without Kafka's answer", consumer=self.name)


async def _watch(app: faust.App, failed: asyncio.Future[None]) -> None:
    while not (app.crashed or app.should_stop or failed.done()):  # noqa: ASYNC110 - Faust offers no event
        await asyncio.sleep(CRASH_POLL_SECONDS)
    if failed.done():
        failed.result()
    raise FaustEnded


def _assigned(app: faust.App) -> frozenset[Partition]:
    return frozenset(Partition(*partition) for partition in app.consumer.assignment())
