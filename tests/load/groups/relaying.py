"""P6: from the commit of a fact to its record in Kafka, and how fast the relay makes up for a pause."""

import asyncio
import os
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from infra import topics
from infra.local.servers import Servers
from kernel.facts import open_envelope
from kernel.relay.headers import Headers, decode
from kernel.relay.publisher import partition_of
from kernel.relay.relay import Relay, RelaySettings
from kernel.relay.source import Source
from kernel.store.connections import connect
from kernel.store.postgres import PostgresStore
from tests.load.groups.append import Uncounted
from tests.load.load import in_milliseconds
from tests.load.measuring import Cell, Figure, Goal, Group, Options, Reading
from tests.load.messages import TYPES, Traffic, paced
from tests.load.stack import Stack
from tests.running import ServiceProcess

TOPIC = "holdspace.messaging.v1"
PARTITIONS = 24
PER_SECOND = 500
SECONDS = 6.0
PAIRS = 1_000
BACKLOG = 100_000
ARRIVE_SECONDS_MAX = 60.0

ALONE = f"commit to Kafka, {PER_SECOND} facts/s, the relay in a process of its own"
TOGETHER = f"commit to Kafka, {PER_SECOND} facts/s, all roles in one process"
CATCH_UP = f"relay, {BACKLOG} facts behind"
SEND = "aiokafka send, idempotent, the same records"

READ_FACTS = "select position, stream, version, recorded_at, fact from facts order by position"


class Late(Exception):  # noqa: N818 - names the finding
    """Records that should be in Kafka did not come."""


class Counted:
    """Metrics of a relay: when it knew of how many acknowledged facts."""

    def __init__(self) -> None:
        self.told: list[tuple[float, int]] = []

    def relayed(self, facts: int) -> None:
        self.told.append((time.perf_counter(), facts))

    def outbox_age_seconds(self, seconds: float) -> None: ...
    def relay_active(self, active: bool) -> None: ...

    @property
    def count(self) -> int:
        return sum(facts for _, facts in self.told)

    @property
    def per_second(self) -> float:
        """Returns the rate after the first page, whose beginning nobody saw."""
        (began, first), (ended, _) = self.told[0], self.told[-1]
        return (self.count - first) / (ended - began)


@dataclass(slots=True)
class Live:
    """A relay at work and a consumer beside it. A record counts as acknowledged when this consumer has it, which is
    later than the relay's own acknowledgement.
    """

    servers: Servers
    process: ServiceProcess
    store: PostgresStore
    traffic: Traffic = field(default_factory=lambda: Traffic(PAIRS))

    async def measure(self) -> Reading:
        await asyncio.to_thread(self.process.start)
        try:
            async with reading(self.servers.kafka, await ends(self.servers.kafka, TOPIC)) as consumer:
                await self._write_for(consumer, 1.0)  # the relay has its connections then
                return in_milliseconds(await self._write_for(consumer, SECONDS))
        finally:
            await asyncio.to_thread(self.process.stop)

    async def _write_for(self, consumer: AIOKafkaConsumer, seconds: float) -> list[float]:
        """Returns the seconds from each append's return to the arrival of its last fact."""
        committed: dict[int, float] = {}
        arrived: dict[int, float] = {}

        async def write() -> None:
            told = await self.store.append(self.traffic.next())
            committed[told.position] = time.perf_counter()

        async def read() -> None:
            while True:
                pages = await consumer.getmany(timeout_ms=1_000)
                now = time.perf_counter()
                arrived.update(
                    (headers.position, now)
                    for records in pages.values()
                    for headers in (decode(record.headers) for record in records)
                    if f"/{self.process.cell}/" in headers.source
                )

        reading = asyncio.create_task(read())
        try:
            await paced(write, PER_SECOND, seconds)
            await _until(lambda: committed.keys() <= arrived.keys())
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
        return [arrived[position] - at for position, at in committed.items()]


@dataclass(frozen=True, slots=True)
class Backlog:
    """A store that was filled while no relay ran, and the records it comes to."""

    servers: Servers
    database_url: str
    cell: str
    plain_topic: str  # for the reference
    records: Sequence[tuple[bytes, bytes, Headers]]  # key, value, headers

    async def relay(self) -> Reading:
        """Lets a relay of this process send everything. Raises Late when Kafka then lacks a record or its order."""
        await self._begin_again()
        counted = Counted()
        relay = Relay(RelaySettings(self.database_url, self.servers.kafka, "messaging", self.cell), TYPES, counted)
        since = await ends(self.servers.kafka, TOPIC)
        running = asyncio.create_task(relay.run())
        try:
            await _until(lambda: counted.count >= len(self.records) or running.done())
        finally:
            await relay.stop()
            await running
        async with reading(self.servers.kafka, since) as consumer:  # Only now: it would share the relay's processor.
            await self._check(consumer)
        return {"per_second": counted.per_second}

    async def send(self) -> Reading:
        """The loop of aiokafka's documentation, with what it sends prepared."""
        encoded = [
            (key, value, partition_of(key, PARTITIONS), headers.encode()) for key, value, headers in self.records
        ]
        async with AIOKafkaProducer(
            bootstrap_servers=self.servers.kafka, enable_idempotence=True, acks="all"
        ) as producer:
            await producer.partitions_for(self.plain_topic)
            began = time.perf_counter()
            sent = [
                await producer.send(self.plain_topic, value, key, partition, headers=headers)
                for key, value, partition, headers in encoded
            ]
            await asyncio.gather(*sent)
            return {"per_second": len(sent) / (time.perf_counter() - began)}

    async def _begin_again(self) -> None:
        connection = await connect(self.database_url, role="messaging_owner", search_path="messaging")
        await connection.execute("update relay_checkpoint set position = 0")
        await connection.close()

    async def _check(self, consumer: AIOKafkaConsumer) -> None:
        """Reads back: every record once, and those of a key in the order of their positions."""
        by_key: dict[bytes, list[int]] = {}
        for key, _, headers in self.records:
            by_key.setdefault(key, []).append(headers.position)
        found: dict[bytes, list[int]] = {}
        while sum(map(len, found.values())) < len(self.records):
            pages = await consumer.getmany(timeout_ms=5_000)
            if not pages:
                raise Late("records are missing")
            for record in (record for records in pages.values() for record in records):
                headers = decode(record.headers)
                if f"/{self.cell}/" in headers.source:
                    found.setdefault(record.key, []).append(headers.position)
        if found != by_key:
            raise Late("records are out of order")


async def ends(kafka: str, topic: str) -> Mapping[TopicPartition, int]:
    """Returns the offset that the next record of each partition will have."""
    async with AIOKafkaConsumer(bootstrap_servers=kafka) as consumer:
        told: Mapping[TopicPartition, int] = await consumer.end_offsets(
            [TopicPartition(topic, number) for number in range(PARTITIONS)]
        )
    return told


@asynccontextmanager
async def reading(kafka: str, since: Mapping[TopicPartition, int]) -> AsyncIterator[AIOKafkaConsumer]:
    """A consumer of these partitions from these offsets on."""
    async with AIOKafkaConsumer(bootstrap_servers=kafka, enable_auto_commit=False, fetch_max_wait_ms=500) as consumer:
        consumer.assign(list(since))
        for partition, offset in since.items():
            consumer.seek(partition, offset)
        yield consumer


async def new_topic(kafka: str) -> str:
    """Returns a topic with as many partitions, once each has taken a record."""
    name = f"bench.{secrets.token_hex(6)}"
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, PARTITIONS, 1)])
    finally:
        await admin.close()
    async with AIOKafkaProducer(bootstrap_servers=kafka, enable_idempotence=True, acks="all") as producer:
        await asyncio.gather(*(producer.send_and_wait(name, b"first", partition=n) for n in range(PARTITIONS)))
    return name


async def _until(is_so: Callable[[], bool]) -> None:
    """Raises Late."""
    deadline = time.monotonic() + ARRIVE_SECONDS_MAX
    while not is_so():
        if time.monotonic() > deadline:
            raise Late
        await asyncio.sleep(0.05)


async def fill(database_url: str, cell: str) -> list[tuple[bytes, bytes, Headers]]:
    """Appends the backlog. Returns what a relay makes of it."""
    store = PostgresStore(database_url, "messaging", Uncounted(), waiting_max=BACKLOG)
    await store.open()
    for first in range(0, BACKLOG, 2 * PAIRS):
        traffic = Traffic(PAIRS)  # two facts each: opened and sent
        await asyncio.gather(*(store.append(traffic.next()) for _ in range(min(PAIRS, (BACKLOG - first) // 2))))
    await store.close()
    connection = await connect(database_url, role="messaging_owner", search_path="messaging")
    rows = await connection.fetch(READ_FACTS)
    await connection.close()
    source = str(Source("messaging", cell, 1))
    return [
        (open_envelope(fact).key.encode(), fact, Headers(source, position, stream, version, at))
        for position, stream, version, at, fact in rows
    ]


@asynccontextmanager
async def open_cells(stack: Stack, options: Options) -> AsyncIterator[Sequence[Cell]]:
    os.environ.setdefault("HOLDSPACE_ENVIRONMENT", "local")
    await asyncio.to_thread(topics.apply, stack.servers.kafka, topics.load(), replication=1)
    async with (
        stack.database("messaging") as backlog_url,
        live(stack, "relay") as alone,
        live(stack) as together,
    ):
        cell = f"bench{secrets.token_hex(4)}"
        topic = await new_topic(stack.servers.kafka)
        backlog = Backlog(stack.servers, backlog_url, cell, topic, await fill(backlog_url, cell))
        yield [
            Cell(SEND, backlog.send),
            Cell(CATCH_UP, backlog.relay),
            Cell(ALONE, alone.measure),
            Cell(TOGETHER, together.measure),
        ]


@asynccontextmanager
async def live(stack: Stack, *roles: str) -> AsyncIterator[Live]:
    """A messaging service of these roles, on a store of its own."""
    async with stack.database("messaging") as database_url:
        process = ServiceProcess("messaging", stack.servers, database_url, stack.credentials, stack.folder, roles=roles)
        store = PostgresStore(database_url, "messaging", Uncounted())
        await store.open()
        yield Live(stack.servers, process, store)
        await store.close()


def _limits(cell: str) -> list[Goal]:
    return [
        Goal("P6", f"{cell}: p50 in ms", Figure(cell, "p50_ms"), most=5),
        Goal("P6", f"{cell}: p99 in ms", Figure(cell, "p99_ms"), most=25),
    ]


GROUP = Group(
    "Relay",
    [
        Goal("P6", f"{CATCH_UP}, of {SEND}", Figure(CATCH_UP, "per_second"), Figure(SEND, "per_second"), least=2),
        Goal("P6", f"{CATCH_UP}: facts/s", Figure(CATCH_UP, "per_second")),
        *_limits(ALONE),
        *_limits(TOGETHER),
    ],
    open_cells,
)
