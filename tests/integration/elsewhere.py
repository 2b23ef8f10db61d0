"""Another service as its consumers see it: facts of a store of its own on its topics, and watermarks."""

import asyncio
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
from kernel.relay.headers import Headers, microseconds
from kernel.relay.publisher import Outgoing, Publisher, publisher

TYPES = {"messaging": FactTypes(messaging_events_pb2), "moderation": FactTypes(moderation_events_pb2)}

BEAT_SECONDS = 0.3


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
        self.cell = f"test{secrets.token_hex(4)}"
        self._positions = dict.fromkeys(publishers, 0)
        self._epochs = dict.fromkeys(publishers, 1)
        self._turn = asyncio.Lock()  # a watermark speaks of what Kafka has acknowledged

    async def says(self, facts: Sequence[Said]) -> list[str]:
        """Publishes in this order, whatever the times say. Returns the revisions that a reader has then to reach."""
        async with self._turn:
            for service, kafka in self._publishers.items():
                await kafka.publish([self._outgoing(said) for said in facts if said.service == service])
        return [Revision(self._source(name), position).encode() for name, position in self._positions.items()]

    def _outgoing(self, said: Said) -> Outgoing:
        self._positions[said.service] += 1
        source, position = self._source(said.service), self._positions[said.service]
        fact_type, key = TYPES[said.service].of(type(said.payload)), said.payload.client_id
        headers = Headers(source, position, f"client-{key}", said.version, datetime.now(UTC))
        recorded_at = microseconds(headers.recorded_at)
        return fact_type.topic, key.encode(), said.envelope, recorded_at // 1000, headers.encode()

    def restored(self, service: str, position: int) -> None:
        """The store is one restored from a backup that had facts up to this position."""
        self._epochs[service] += 1
        self._positions[service] = position

    async def beat(self) -> None:
        """Tells everybody how far it has come, as a relay does, until it is cancelled."""
        while True:
            async with self._turn:
                for service, kafka in self._publishers.items():
                    await kafka.watermark(self._source(service), self._positions[service], datetime.now(UTC))
            await asyncio.sleep(BEAT_SECONDS)

    def _source(self, service: str) -> str:
        return f"{service}/{self.cell}/{self._epochs[service]}"


@asynccontextmanager
async def elsewhere(kafka: str) -> AsyncIterator[Elsewhere]:
    topics = {name: {each.topic for each in types if each.topic} for name, types in TYPES.items()}
    async with publisher(kafka, topics["messaging"]) as messaging, publisher(kafka, topics["moderation"]) as moderation:
        stores = Elsewhere({"messaging": messaging, "moderation": moderation})
        beating = asyncio.create_task(stores.beat())
        try:
            yield stores
        finally:
            beating.cancel()
            await asyncio.gather(beating, return_exceptions=True)
