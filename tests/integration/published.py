"""Facts on a topic of the test's own, made without a service: types, envelopes, a store's rows, Kafka records."""

import asyncio
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import ModuleType

import asyncpg
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor_pb2 import FieldDescriptorProto
from google.protobuf.message import Message

from holdspace.kernel.v1.gate_pb2 import Phase
from holdspace.kernel.v1.options_pb2 import fact as fact_option
from kernel.facts import FactTypes, Origin
from kernel.relay.headers import Headers
from kernel.relay.publisher import partition_of
from kernel.store.connections import connect

SERVICE = "messaging"
SOURCE = f"{SERVICE}/main/1"
PARTITIONS = 4
START = datetime(2026, 1, 1, tzinfo=UTC)
DEPENDENCIES = ["holdspace/kernel/v1/options.proto", "holdspace/kernel/v1/gate.proto"]
ORIGIN = Origin(service="test")


class Vocabulary:
    """Four published types on one topic (Noted, Mentioned, Surprising, and Stated, which tells a state), a private one
    (Kept); all: subject, number.
    """

    def __init__(self, topic: str) -> None:
        self.topic = topic
        file = descriptor_pb2.FileDescriptorProto(
            name=f"{topic}.proto", package=topic, syntax="proto3", dependency=DEPENDENCIES
        )
        for name in ("Noted", "Mentioned", "Surprising", "Stated", "Kept"):
            message = file.message_type.add(name=name)
            message.field.add(name="subject", number=1, type=FieldDescriptorProto.TYPE_STRING, label=1)
            message.field.add(name="number", number=2, type=FieldDescriptorProto.TYPE_INT64, label=1)
            if name == "Stated":
                phase = f".{Phase.DESCRIPTOR.full_name}"
                message.field.add(
                    name="phases", number=3, type=FieldDescriptorProto.TYPE_MESSAGE, type_name=phase, label=3
                )
            declared = message.options.Extensions[fact_option]
            if name != "Kept":
                declared.topic, declared.key = topic, "subject"
            else:
                declared.topic = ""
        descriptor_pool.Default().AddSerializedFile(file.SerializeToString())
        module = ModuleType(topic)
        module.DESCRIPTOR = descriptor_pool.Default().FindFileByName(file.name)  # type: ignore[attr-defined]
        self.types = FactTypes(module)
        by_name = {each.name.rpartition(".")[2]: each.message for each in self.types}
        self.Noted, self.Mentioned = by_name["Noted"], by_name["Mentioned"]
        self.Surprising, self.Stated, self.Kept = by_name["Surprising"], by_name["Stated"], by_name["Kept"]

    def seal(self, payload: Message, *, imported_from: str = "") -> bytes:
        origin = Origin(service="test", imported_from=imported_from)
        return self.types.seal(payload, uuid.uuid4().hex, START, origin)

    def notes(self, count: int, subjects: int, first: int = 0) -> list[bytes]:
        """Facts numbered on, one subject after the other."""
        numbers = range(first, first + count)
        return [self.seal(self.Noted(subject=f"s{n % subjects}", number=n)) for n in numbers]


@dataclass(frozen=True, slots=True)
class Written:
    """A record as a test wants it on the topic."""

    key: str
    value: bytes
    headers: Sequence[tuple[str, bytes]]


def written(facts: Iterable[tuple[str, bytes]], *, first: int = 1, source: str = SOURCE) -> list[Written]:
    """Takes keys and envelopes, in the order of their positions."""
    return [
        Written(key, value, Headers(source, position, f"stream-{key}", 1, START + timedelta(seconds=position)).encode())
        for position, (key, value) in enumerate(facts, first)
    ]


def notes_written(vocabulary: Vocabulary, count: int, subjects: int, first: int = 0) -> list[Written]:
    facts = vocabulary.notes(count, subjects, first)
    keyed = [(f"s{number % subjects}", fact) for number, fact in enumerate(facts, first)]
    return written(keyed, first=first + 1)


def new_topic_name() -> str:
    return f"holdspace.t{uuid.uuid4().hex[:12]}.v1"


async def create_topic(kafka: str, topic: str, partitions: int = PARTITIONS) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, partitions, 1) for name in (topic, f"{topic}.watermark")])
        await asyncio.sleep(0.3)  # until the broker leads the new partitions
    finally:
        await admin.close()


async def publish(kafka: str, topic: str, records: Iterable[Written], partitions: int = PARTITIONS) -> None:
    """As a relay does: in order, the partition from the key."""
    async with AIOKafkaProducer(bootstrap_servers=kafka, enable_idempotence=True, acks="all") as producer:
        futures = [
            await producer.send(
                topic,
                record.value,
                record.key.encode(),
                partition_of(record.key.encode(), partitions),
                headers=list(record.headers),
            )
            for record in records
        ]
        await asyncio.gather(*futures)


async def owner(database_url: str) -> asyncpg.Connection:
    """A connection that may hold a transaction open for as long as a test wants."""
    limits = {"idle_in_transaction_session_timeout": "0", "transaction_timeout": "0"}
    return await connect(database_url, role=f"{SERVICE}_owner", search_path=SERVICE, **limits)


async def record_facts(database_url: str, facts: Sequence[bytes], streams: Sequence[str] = ()) -> None:
    """Appends to the store as the append function does: dense positions, one commit, a notification after it.
    `streams`: of each fact its own; else all are in one.
    """
    connection = await owner(database_url)
    try:
        head = await connection.fetchval("select coalesce(max(position), 0) from facts")
        names = streams or ["stream"] * len(facts)
        rows = [(head + n, names[n - 1], head + n, datetime.now(UTC), fact) for n, fact in enumerate(facts, 1)]
        await connection.copy_records_to_table(
            "facts", records=rows, columns=("position", "stream", "version", "recorded_at", "fact")
        )
        await connection.execute(f"select pg_notify('{SERVICE}_facts', '')")
    finally:
        await connection.close()


async def delete_topic(kafka: str, topic: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        await admin.delete_topics([topic])
        while topic in await admin.list_topics():  # noqa: ASYNC110 - told by Kafka
            await asyncio.sleep(0.05)
    finally:
        await admin.close()
