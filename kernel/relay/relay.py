"""The relay: what the store has recorded goes to Kafka, at least once, in order per key."""

import asyncio
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import structlog
from aiokafka.errors import KafkaError

from kernel.backoff import backoff_seconds
from kernel.errors import Poison
from kernel.facts import FactTypes, UnknownFactType, open_envelopes
from kernel.relay.headers import encode, microseconds
from kernel.relay.publisher import Batches, Outgoing, Publisher, publisher
from kernel.relay.restating import restate
from kernel.relay.restored import refuse_restored
from kernel.relay.session import RelaySession, relay_session
from kernel.relay.source import READ_EPOCH, Source
from kernel.replay import SERVER_EPOCH, instants
from kernel.tasks import first_to_end

READ_CHECKPOINT = "select position from relay_checkpoint"
ADVANCE = "update relay_checkpoint set position = $1 where position < $1"
# One row, with an array for each column: rows of their own take the client twice as long to receive.
# Saves how far Kafka has acknowledged on the way, when it is time to: nothing waits for a round trip of its own.
READ_PAGE = """
with advanced as (update relay_checkpoint set position = $3 where position < $3)
select max(position), array_agg(convert_to(stream, 'UTF8')), array_agg(version), array_send(array_agg(recorded_at)),
    array_agg(fact)
from (select * from facts where position > $1 and position <= $1 + $2 order by position) page"""
# The time is taken before the statement's snapshot: every fact committed by then is at or below the head.
READ_MOMENT = "select statement_timestamp() as store_time, coalesce(max(position), 0) as head from facts"

PAGE_FACTS_MAX = 6_000  # a page costs almost as much as 1,000 facts beside them: it has a batch for each partition
FACTS_BETWEEN_TURNS = 400
POLL_SECONDS = 0.25  # the net under a lost notification
WATERMARK_SECONDS = 1.0
SERVER_EPOCH_MICROSECONDS = microseconds(SERVER_EPOCH)
SAVE_SECONDS = 0.1  # between checkpoints of short pages; a crash sends again what was sent since
PATIENCE_SECONDS = 5.0

log = structlog.get_logger()


class RelayMetrics(Protocol):
    def relayed(self, facts: int) -> None:
        """Published facts that Kafka has acknowledged."""

    def outbox_age_seconds(self, seconds: float) -> None:
        """Age of the oldest fact that is not known to be in Kafka; 0 when there is none. Set once a second."""

    def watermark_failed(self) -> None:
        """A watermark could not be written to every partition; it is tried again a second later."""

    def relay_active(self, active: bool) -> None:
        """Whether this process holds the lease."""


class Facts(NamedTuple):
    """A page as arrays of one length. What is sent as it is stored is not decoded."""

    streams: Sequence[bytes] = ()
    versions: Sequence[int] = ()
    recorded: Sequence[int] = ()  # microseconds since SERVER_EPOCH
    sealed: Sequence[bytes] = ()

    def parts(self, facts_max: int) -> Iterator["Facts"]:
        """Yields it as pages of at most so many facts."""
        for first in range(0, len(self.sealed), facts_max):
            some = slice(first, first + facts_max)
            yield Facts(self.streams[some], self.versions[some], self.recorded[some], self.sealed[some])


class GapInStore(Exception):  # noqa: N818 - names the finding
    """Positions are dense; a missing one means that the store was tampered with or is broken."""


@dataclass(frozen=True, slots=True)
class Page:
    """Facts up to a position, ready to be sent. `facts`: how many were read, private ones included."""

    position: int
    facts: int
    batches: Batches


@dataclass(frozen=True, slots=True)
class RelaySettings:
    database_url: str
    kafka: str  # host:port, several with commas
    service: str  # also the name of its schema
    cell: str


class Relay:
    """A role: `run` it until it ends or `stop` is called. Start one per process; the lease keeps one at work.

    `fact_types` are all types this service appends, private ones included.
    """

    name = "relay"

    def __init__(
        self,
        settings: RelaySettings,
        fact_types: FactTypes,
        metrics: RelayMetrics,
        *,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._settings = settings
        self._topics: Mapping[str, str] = {fact_type.name: fact_type.topic for fact_type in fact_types}
        self._states = {fact_type.name: fact_type.topic for fact_type in fact_types if fact_type.tells_state}
        self._metrics = metrics
        self._jitter = jitter
        self._watermarks_written = True  # as far as is known
        self._failures = 0  # in a row; what Kafka acknowledges ends the row
        self._stopping = asyncio.Event()
        self._position = 0  # up to here Kafka has acknowledged everything
        self._save_at = 0.0  # on the loop's clock
        self._advanced = asyncio.Event()

    async def run(self) -> None:
        """Waits for its turn, then relays until `stop`.

        Raises LeaseLost or one of LOST when the store is gone, StoreRestored, UnknownFactType, Poison or GapInStore
        when a person has to look, WrongSetting when a topic does not fit. Kafka away is waited for.
        """
        await first_to_end(self._run(), self._stopping.wait())

    async def stop(self) -> None:
        """What is on its way when it stops is sent again by the next one."""
        self._stopping.set()

    async def _run(self) -> None:
        async with relay_session(self._settings.database_url, self._settings.service) as session:
            self._metrics.relay_active(True)
            try:
                await first_to_end(session.keep(self._metrics.outbox_age_seconds), self._relay(session))
            finally:
                self._metrics.relay_active(False)

    async def _relay(self, session: RelaySession) -> None:
        epoch = (await session.fetch(READ_EPOCH))[0][0]
        source = str(Source(self._settings.service, self._settings.cell, epoch))
        topics = {topic for topic in self._topics.values() if topic}
        log.info("relay is active", source=source)
        while True:
            try:
                async with publisher(self._settings.kafka, topics) as kafka:
                    await refuse_restored(kafka, session, source)
                    await restate(kafka, session, source, epoch, self._states)
                    await self._relay_pages(session, kafka, source)
            except* KafkaError as errors:
                self._failed(repr(errors.exceptions[0]))
            await asyncio.sleep(backoff_seconds(self._failures, self._jitter))

    @contextmanager
    def _expecting_an_answer(self) -> Iterator[None]:
        """Says so when Kafka takes long. The producer itself goes on trying, in order and without end."""
        late = asyncio.get_running_loop().call_later(PATIENCE_SECONDS, self._failed, "it does not answer")
        try:
            yield
        finally:
            late.cancel()
        self._acknowledged()

    def _failed(self, reason: str) -> None:
        if self._failures == 0:
            log.warning("Kafka does not take facts; they wait in the store", reason=reason)
        self._failures += 1

    def _acknowledged(self) -> None:
        if self._failures:
            log.info("Kafka takes facts again", failures=self._failures)
        self._failures = 0

    async def _relay_pages(self, session: RelaySession, kafka: Publisher, source: str) -> None:
        """Relays for as long as Kafka takes what it is sent."""
        self._position = (await session.fetch(READ_CHECKPOINT))[0][0]
        await first_to_end(self._send_pages(session, kafka, source), self._send_watermarks(session, kafka, source))

    async def _send_pages(self, session: RelaySession, kafka: Publisher, source: str) -> None:
        """Sends one page after the other. While one is on its way, the next is made ready and the one after it read."""
        position = self._position
        reading = self._read(session, position, source)
        sending = asyncio.create_task(asyncio.sleep(0))  # nothing is on its way yet
        try:
            while True:
                facts = await reading
                is_full = len(facts.sealed) == PAGE_FACTS_MAX
                if is_full:
                    reading = self._read(session, position + PAGE_FACTS_MAX, source)
                    await asyncio.sleep(0)  # It is sent before this page is worked on.
                page = await self._page(kafka, facts, position, source)
                position = page.position
                await sending
                if is_full:
                    sending = asyncio.create_task(self._send(session, kafka, page))
                else:
                    await self._send(session, kafka, page)
                    await session.wait_for_facts(POLL_SECONDS)  # It returns at once when any were told of meanwhile.
                    reading = self._read(session, position, source)
        finally:
            for task in (reading, sending):
                task.cancel()
            await asyncio.gather(reading, sending, return_exceptions=True)

    def _read(self, session: RelaySession, after: int, source: str) -> asyncio.Task[Facts]:
        async def read() -> Facts:
            (columns,) = await session.fetch(READ_PAGE, after, PAGE_FACTS_MAX, self._to_save())
            last_position, streams, versions, recorded, sealed = columns
            if last_position is None:
                return Facts()
            if last_position != after + len(sealed):
                raise GapInStore(f"{source} lacks facts between positions {after} and {last_position}")
            return Facts(streams, versions, instants(recorded, len(sealed)), sealed)

        return asyncio.create_task(read())

    async def _page(self, kafka: Publisher, facts: Facts, after: int, source: str) -> Page:
        page = Page(after + len(facts.sealed), len(facts.sealed), {})
        position = after
        for part in facts.parts(FACTS_BETWEEN_TURNS):
            if position > after:
                await asyncio.sleep(0)  # A backlog must not keep calls, and gates, from the event loop.
            kafka.add(self._outgoing(part, position, source), page.batches)
            position += len(part.sealed)
        return page

    def _to_save(self) -> int:
        """Returns the position to be saved with the next page's reading, 0 when none is."""
        now = asyncio.get_running_loop().time()
        if now < self._save_at:
            return 0
        self._save_at = now + SAVE_SECONDS
        return self._position

    async def _send(self, session: RelaySession, kafka: Publisher, page: Page) -> None:
        if not page.facts:
            return
        with self._expecting_an_answer():
            published = await kafka.send(page.batches)
        self._position = page.position
        self._advanced.set()
        self._metrics.relayed(published)
        if page.facts == PAGE_FACTS_MAX:
            await session.fetch(ADVANCE, page.position)  # A crash sends one page again, not two.

    async def _send_watermarks(self, session: RelaySession, kafka: Publisher, source: str) -> None:
        """Says once a second how far everything has come that was recorded by then. No fact waits for it."""
        while True:
            moment = (await session.fetch(READ_MOMENT))[0]
            while self._position < moment["head"]:
                self._advanced.clear()
                await self._advanced.wait()
            try:
                await kafka.watermark(source, self._position, moment["store_time"])
            except KafkaError as error:
                self._without_watermarks(repr(error))
            else:
                self._with_watermarks()
            await asyncio.sleep(WATERMARK_SECONDS)

    def _without_watermarks(self, reason: str) -> None:
        self._metrics.watermark_failed()
        if self._watermarks_written:
            log.warning("watermarks cannot be written: facts go on, gates that rest on them close", reason=reason)
        self._watermarks_written = False

    def _with_watermarks(self) -> None:
        if not self._watermarks_written:
            log.info("watermarks are written again")
        self._watermarks_written = True

    def _outgoing(self, facts: Facts, after: int, source: str) -> Iterator[Outgoing]:
        """Yields what is published of the facts, in order. Raises UnknownFactType or Poison."""
        topics, encoded_source = self._topics, source.encode()
        before, at, decimal = None, 0, b""
        try:
            envelopes = open_envelopes(facts.sealed)
        except Poison as error:
            raise Poison(f"{source}, positions {after + 1} to {after + len(facts.sealed)}: {error}") from error
        rows = zip(*facts, envelopes, strict=True)
        for position, (stream, version, since_epoch, fact, envelope) in enumerate(rows, after + 1):
            topic = topics.get(envelope.type)
            if topic is None:
                raise UnknownFactType(f"{envelope.type} at position {position}")
            if since_epoch != before:  # Facts of one commit have one time.
                before, at = since_epoch, SERVER_EPOCH_MICROSECONDS + since_epoch
                decimal = b"%d" % at
            if topic:
                headers = encode(encoded_source, position, stream, version, decimal)
                yield topic, envelope.key.encode(), fact, at // 1000, headers
