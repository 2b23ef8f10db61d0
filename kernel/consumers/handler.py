"""The batch handler: takes records until they are durable, never skips one, never takes one twice in effect.

Faust acknowledges a batch on every way out of a loop that took it, an exception or a cancel included; so there is no
such loop (kernel.consumers.faust_app), and `handle` does not come back before the batch is committed here, in Postgres:
what cannot be reached is tried again in place, what is missing is read, what cannot be taken in is parked. What it
raises halts the consumer.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import aclosing, suppress
from datetime import datetime
from uuid import UUID

import structlog
from aiokafka.errors import KafkaError

from kernel.backoff import backoff_seconds
from kernel.consumers import checkpoints, halt, parking, same_log, skipping
from kernel.consumers.batches import Gap, by_partition, not_yet_taken
from kernel.consumers.checkpoints import Mark, Marks
from kernel.consumers.fence import Fence, Held
from kernel.consumers.horizon import Horizon, Unproven
from kernel.consumers.lanes import BEHIND, Done, Lanes
from kernel.consumers.limits import Ceiling, ConsumerLimits, ConsumerMetrics
from kernel.consumers.listing import Listing, Task
from kernel.consumers.passing import BatchTimeSpent, is_passing
from kernel.consumers.reader import LogReader
from kernel.consumers.records import Lane, Partition, Record
from kernel.consumers.redrive import redrive_page
from kernel.consumers.watermarks import Reached
from kernel.errors import Poison
from kernel.facts import UnknownFactType
from kernel.relay import headers as relay_headers
from kernel.relay.headers import Headers

log = structlog.get_logger()

OPENED_BETWEEN_TURNS = 100  # records
HOLD_SECONDS = 0.5  # between two looks for a watermark
NOTHING = Mark(0, 0)


Ahead = dict[Record, tuple[Headers, Task | None]]
"""Records that were opened before their turn: their headers, and what is to be done."""


class BatchHandler:
    """One per consumer and process. Public methods take turns.

    Raises UnknownFactType, TooMuchParked, LogChanged, or any fault of the program; it is not to be used after that.
    """

    def __init__(
        self,
        consumer: str,
        listing: Listing,
        since: Mapping[str, datetime],
        fence: Fence,
        reader: LogReader,
        metrics: ConsumerMetrics,
        limits: ConsumerLimits,
        jitter: Callable[[], float],
        horizon: Horizon | None = None,
    ) -> None:
        self._consumer = consumer
        self._listing = listing
        self._since = since
        self._fence = fence
        self._reader = reader
        self._metrics = metrics
        self._limits = limits
        self._jitter = jitter
        self._ceiling = Ceiling(limits)
        self.horizon = horizon or Horizon()
        self._claims: dict[tuple[Partition, int], bool] = {}  # whether it was found false, by partition and offset
        self._turn = asyncio.Lock()

    async def handle(self, records: Sequence[Record]) -> None:
        """Takes records as they come, of any partitions; returns when all of them are durable."""
        async with self._turn:
            await self._settle(records)

    async def read_up_to(self, ends: Mapping[Partition, int]) -> None:
        """Reads what lies between checkpoints and these offsets, and takes it. Raises KafkaError or one of LOST."""
        async with self._turn:
            next_offsets = await checkpoints.read(await self._fence.connection(), self._consumer)
            await self._read({partition: range(next_offsets[partition], end) for partition, end in ends.items()})

    async def next_offsets(self) -> dict[Partition, int]:
        """Returns the checkpoint of every partition. Raises one of LOST."""
        async with self._turn:
            return await checkpoints.read(await self._fence.connection(), self._consumer)

    async def unconfirmed(self) -> same_log.Taken:
        """Returns the marks that moved since the topics were last seen to be the same. Raises one of LOST."""
        async with self._turn:
            return await same_log.unconfirmed(await self._fence.connection(), self._consumer)

    async def confirm(self, topic_ids: Mapping[str, UUID], taken: same_log.Taken) -> None:
        """Takes ids that were asked for after these marks were read. Raises LogChanged, or one of LOST."""
        async with self._turn:
            await same_log.confirm(await self._fence.connection(), self._consumer, topic_ids, taken)

    async def goes_on(self) -> None:
        """To be called once it has come past what halted its consumer. Raises one of LOST."""
        async with self._turn:
            await halt.clear(await self._fence.connection(), self._consumer)

    async def redrive(self, assigned: Collection[Partition]) -> None:
        """Takes parked records of these partitions again where an operator asked for it. May raise what passes."""
        async with self._turn:
            connection = await self._fence.connection()
            self._metrics.parked_keys(self._consumer, await parking.count_keys(connection, self._consumer))
            for partition, lane in await parking.redrives(connection, self._consumer):
                more = partition in assigned
                while more:
                    async with self._fence.hold([partition]) as held:
                        more = await redrive_page(held, self._consumer, lane, self._parked_task, self._limits)

    async def _settle(self, records: Sequence[Record], ahead: Ahead | None = None) -> None:
        done: Done = {}  # Effects of earlier attempts; they are not asked for again.
        attempt = 0
        while True:
            try:
                return await self._once(records, done, ahead or {})
            except BatchTimeSpent:
                continue
            except Gap as gap:
                await self._fill(gap)
            except Unproven as claim:
                await self._prove(claim)
            except Exception as error:
                if not is_passing(error):
                    raise
                self._fence.renew()
                self._metrics.retried(self._consumer)
                if attempt == 0:
                    log.warning("consumer waits", consumer=self._consumer, reason=repr(error))
                await asyncio.sleep(backoff_seconds(attempt, self._jitter))
                attempt += 1

    async def _fill(self, gap: Gap) -> None:
        log.info("consumer reads a gap", consumer=self._consumer, gap=str(gap))
        try:
            await self._read({gap.partition: range(gap.low, gap.high)})
        except Exception as error:
            if not (is_passing(error) or isinstance(error, KafkaError)):
                raise
            log.warning("consumer cannot read a gap yet", consumer=self._consumer, reason=repr(error))
            await asyncio.sleep(backoff_seconds(3, self._jitter))

    async def _prove(self, claim: Unproven) -> None:
        """Asks the watermarks about it. One written behind the record decides; until there is one the record is held,
        and all that follow it: nothing is taken, so gates that rest on this consumer go stale and close.
        """
        told: Sequence[Reached] = ()
        with suppress(KafkaError):
            told = await self._reader.watermarks(claim.partition)
        for each in told:
            self.horizon.raise_to(each.source, each.position)
        place = claim.partition, claim.offset
        if self.horizon.reaches(claim.source, claim.position):
            self._claims.pop(place, None)
        elif any(each.source == claim.source and each.end_offset > claim.offset for each in told):
            self._claims[place] = True
        elif place not in self._claims:
            self._claims[place] = False
            log.warning(
                "consumer holds a record until a watermark covers it", consumer=self._consumer, claim=str(claim)
            )
        self._metrics.held(self._consumer, list(self._claims.values()).count(False))
        if self._claims.get(place) is False:
            await asyncio.sleep(HOLD_SECONDS)

    async def _read(self, ranges: Mapping[Partition, range]) -> None:
        async with aclosing(self._reader.pages_of(ranges)) as pages:

            async def following() -> tuple[list[Record], Ahead]:
                page: list[Record] = await anext(pages, [])
                return page, await self._opened_ahead(page)

            coming = asyncio.create_task(following())
            try:
                while True:
                    records, ahead = await coming
                    if not records:
                        break
                    coming = asyncio.create_task(following())  # fetched and opened while this one commits
                    await self._settle(records, ahead)
            finally:
                coming.cancel()
                await asyncio.gather(coming, return_exceptions=True)

    async def _once(self, records: Sequence[Record], done: Done, ahead: Ahead) -> None:
        parts = by_partition(records)
        async with self._fence.hold(parts) as held:
            taken = {p: not_yet_taken(p, each, held.next_offsets[p]) for p, each in parts.items()}
            fresh = {partition: each for partition, each in taken.items() if each}
            if not fresh:
                return
            marks: Marks = {}
            taking: skipping.Fresh = fresh
            if held.has_skips:
                taking = await skipping.without_skipped(held.connection, self._consumer, fresh)
            lanes = self._tasks(taking, held, marks, ahead)
            closed = await parking.parked_among(held.connection, self._consumer, lanes) if held.has_parked else ()
            work = Lanes(held, done, self._limits)
            await work.run({lane: tasks for lane, tasks in lanes.items() if lane not in closed})
            behind = work.behind + [(task.record, BEHIND) for lane in closed for task in lanes[lane]]
            if work.failed or behind:
                await parking.park(held.connection, self._consumer, [*work.failed, *behind])
            parked_keys = await parking.count_keys(held.connection, self._consumer) if work.failed else 0
            self._ceiling.count(sum(map(len, fresh.values())) - len(work.failed), len(work.failed), parked_keys)
            next_offsets = {partition: each[-1].offset + 1 for partition, each in fresh.items()}
            await checkpoints.advance(held.connection, self._consumer, next_offsets, marks)
        for (_, source), mark in marks.items():
            self.horizon.raise_to(source, mark.position)
        self._metrics.handled(self._consumer, len(done))
        self._metrics.rejected(self._consumer, sum(done.values()))
        self._metrics.parked(self._consumer, len(work.failed) + len(behind))
        for record, reason in work.failed:
            place = {"topic": record.topic, "partition": record.partition, "offset": record.offset}
            log.error("record parked", consumer=self._consumer, reason=reason, **place)

    def _parked_task(self, record: Record) -> Task | None:
        try:
            return self._listing.task(record, relay_headers.decode(record.headers), self._since)
        except (Poison, UnknownFactType) as reason:
            return Task(record, poison=repr(reason))

    async def _opened_ahead(self, records: Iterable[Record]) -> Ahead:
        found: Ahead = {}
        for number, record in enumerate(records, 1):
            try:
                headers = relay_headers.decode(record.headers)
                found[record] = headers, self._listing.task(record, headers, self._since)
            except (Poison, UnknownFactType):
                pass  # What cannot be opened fails when its turn comes.
            if number % OPENED_BETWEEN_TURNS == 0:
                await asyncio.sleep(0)  # So that the page before is with the server while this one is opened.
        return found

    def _tasks(
        self, fresh: Mapping[Partition, Sequence[Record]], held: Held, marks: Marks, ahead: Ahead
    ) -> dict[Lane, list[Task]]:
        """Returns what is to be done, by lane and in order; notes the positions taken. Raises UnknownFactType."""
        lanes: dict[Lane, list[Task]] = {}
        for partition, records in fresh.items():
            for record in records:
                task = self._task(partition, record, held, marks, ahead.get(record))
                if task is not None:
                    lanes.setdefault(record.lane, []).append(task)
        return lanes

    def _task(
        self, partition: Partition, record: Record, held: Held, marks: Marks, known: tuple[Headers, Task | None] | None
    ) -> Task | None:
        try:
            headers = known[0] if known else relay_headers.decode(record.headers)
        except Poison as poison:
            return Task(record, poison=str(poison))
        place = partition, headers.source
        mark = marks.get(place) or held.marks.get(place, NOTHING)
        if mark.covers(headers.position):
            return None  # Sent twice by the relay.
        if not self.horizon.reaches(headers.source, headers.position):
            if not self._claims.get((partition, record.offset)):
                raise Unproven(partition, record.offset, headers.source, headers.position)
            return Task(record, poison=f"{headers.source} has not reached position {headers.position}")
        task = known[1] if known else self._listing.task(record, headers, self._since)
        if task is not None and task.poison:
            return task  # And its position is not believed.
        if headers.position < mark.position:
            self._tell_disorder(record, headers, mark)
        marks[place] = mark.moved_to(headers.position)
        return task

    def _tell_disorder(self, record: Record, headers: Headers, mark: Mark) -> None:
        """The mark, or a former one, was set by a record that did not come from its source's relay."""
        self._metrics.disordered(self._consumer)
        place = {"topic": record.topic, "partition": record.partition, "offset": record.offset}
        told = {"source": headers.source, "position": headers.position, "after": mark.position}
        log.error(
            "a record before this one had a position that is not its own", consumer=self._consumer, **told, **place
        )
