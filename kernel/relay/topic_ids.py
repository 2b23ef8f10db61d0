"""Kafka's own ids of topics: a topic that is deleted and made again has another one.

aiokafka speaks the metadata protocol up to version 5; ids come with version 10. So this is that request and its answer
(https://kafka.apache.org/protocol#The_Messages_Metadata), over aiokafka's own connections.
"""

from collections.abc import Collection
from io import BytesIO
from typing import Any, ClassVar, NamedTuple
from uuid import UUID

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError, NodeNotReadyError, UnknownTopicOrPartitionError, for_code
from aiokafka.protocol.abstract import AbstractType
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Boolean, CompactArray, CompactString, Int16, Int32, Schema, TaggedFields

NO_TOPIC_ID = UUID(int=0)
TEXT = CompactString("utf-8")


class _Uuid(AbstractType[UUID]):  # type: ignore[misc]
    @classmethod
    def encode(cls, value: UUID) -> bytes:
        return value.bytes

    @classmethod
    def decode(cls, data: BytesIO) -> UUID:
        return UUID(bytes=data.read(16))


class _Answer(Response):  # type: ignore[misc]  # aiokafka has no types
    API_KEY = 3
    API_VERSION = 12
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(("node_id", Int32), ("host", TEXT), ("port", Int32), ("rack", TEXT), ("tags", TaggedFields)),
        ),
        ("cluster_id", TEXT),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("name", TEXT),
                ("topic_id", _Uuid),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("isr", CompactArray(Int32)),
                        ("offline_replicas", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _Question(RequestStruct):  # type: ignore[misc]
    FLEXIBLE_VERSION = True
    API_KEY = 3
    API_VERSION = 12
    RESPONSE_TYPE = _Answer
    SCHEMA = Schema(
        ("topics", CompactArray(("topic_id", _Uuid), ("name", TEXT), ("tags", TaggedFields))),
        ("allow_auto_topic_creation", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class _Metadata(Request[_Question]):  # type: ignore[misc]
    API_KEY: ClassVar[int] = 3

    def __init__(self, topics: Collection[str]) -> None:
        self._topics = topics

    def build(self, request_struct_class: type[_Question]) -> _Question:
        return request_struct_class([(NO_TOPIC_ID, topic, {}) for topic in self._topics], False, False, {})


class Described(NamedTuple):
    topic_id: UUID
    partitions: int


async def topic_ids(client: AIOKafkaClient, topics: Collection[str]) -> dict[str, UUID]:
    """Returns the id of every topic that exists. Raises KafkaError when Kafka does not answer."""
    return {topic: found.topic_id for topic, found in (await described(client, topics)).items()}


async def described(client: AIOKafkaClient, topics: Collection[str]) -> dict[str, Described]:
    """Returns id and number of partitions of every topic that exists. Raises KafkaError when Kafka does not answer."""
    node = client.get_random_node()
    if node is None or not await client.ready(node):
        raise NodeNotReadyError
    answer: Any = await client.send(node, _Metadata(sorted(topics)))
    found = {}
    for error_code, name, topic_id, _, partitions, *_ in answer.topics:
        error: type[KafkaError] = for_code(error_code)
        if error is UnknownTopicOrPartitionError:
            continue
        if error_code:
            raise error(name)
        found[name] = Described(topic_id, len(partitions))
    return found
