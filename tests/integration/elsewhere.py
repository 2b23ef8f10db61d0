"""Another service as its consumers see it: facts of a store of its own on its topics, and watermarks."""

import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from google.protobuf.message import Message

from holdspace.messaging.v1 import events_pb2 as messaging_events_pb2
from holdspace.moderation.v1 import events_pb2 as moderation_events_pb2
from kernel.facts import FactTypes, Origin
from kernel.grpc.revision import Revision
from kernel.relay.headers import Headers
from kernel.relay.publisher import Outgoing, Publisher, publisher

TYPES = {"messaging": FactTypes(messaging_events_pb2), "moderation": FactTypes(moderation_events_pb2)}


@dataclass(frozen=True, slots=True)
class Said:
    """A fact of another service. `version`: of its client's stream there."""

    service: str
    at: datetime
    payload: Any
    version: int = 1
    fact_id: str = field(default_factory=lambda: secrets.token_hex(16))

    @property
    def envelope(self) -> bytes:
        return TYPES[self.service].seal(self.payload, self.fact_id, self.at, Origin(self.service))


def by_messaging(at: datetime, payload: Message) -> Said:
    return Said("messaging", at, payload)


def by_moderation(at: datetime, payload: Message, version: int) -> Said:
    return Said("moderation", at, payload, version)


class Elsewhere:
    """Stores of messaging and of moderation: what is told again by another store is a fact known already."""

    def __init__(self, publishers: dict[str, Publisher]) -> None:
        self._publishers = publishers
        self._cell = f"test{secrets.token_hex(4)}"
        self._positions = dict.fromkeys(publishers, 0)

    async def says(self, facts: Sequence[Said]) -> list[str]:
        """Publishes in this order, whatever the times say. Returns the revisions that a reader has then to reach."""
        for service, kafka in self._publishers.items():
            outgoing = []
            for said in facts:
                if said.service != service:
                    continue
                self._positions[service] += 1
                fact_type, key = TYPES[service].of(type(said.payload)), said.payload.client_id
                headers = Headers(
                    self._source(service), self._positions[service], f"client-{key}", said.version, datetime.now(UTC)
                )
                outgoing.append(Outgoing(fact_type.topic, key.encode(), said.envelope, headers))
            await kafka.publish(outgoing)
            await kafka.watermark(self._source(service), self._positions[service], datetime.now(UTC))
        return [Revision(self._source(name), position).encode() for name, position in self._positions.items()]

    def _source(self, service: str) -> str:
        return f"{service}/{self._cell}/1"


@asynccontextmanager
async def elsewhere(kafka: str) -> AsyncIterator[Elsewhere]:
    topics = {name: {each.topic for each in types if each.topic} for name, types in TYPES.items()}
    async with publisher(kafka, topics["messaging"]) as messaging, publisher(kafka, topics["moderation"]) as moderation:
        yield Elsewhere({"messaging": messaging, "moderation": moderation})
