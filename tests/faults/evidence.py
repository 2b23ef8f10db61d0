"""What the platform holds after a run: stores, topics, waits. The other half of what the checker compares."""

import importlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from google.protobuf import descriptor_pool
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.timestamp_pb2 import Timestamp

from holdspace.kernel.v1.envelope_pb2 import Envelope
from holdspace.kernel.v1.options_pb2 import fact as fact_option
from infra.database import SERVICES

for _service in SERVICES:  # Facts are found by their names once their files are loaded.
    for _file in ("events_pb2", "private_pb2"):
        with suppress(ModuleNotFoundError):
            importlib.import_module(f"holdspace.{_service}.v1.{_file}")

END_OF_TIME = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Stored:
    """A row of a store."""

    position: int
    stream: str
    version: int
    recorded_at: datetime
    fact: bytes

    @property
    def envelope(self) -> Envelope:
        return envelope_of(self.fact)

    @property
    def type(self) -> str:
        """The fact's name without its package."""
        return self.envelope.type.rpartition(".")[2]

    @property
    def topic(self) -> str:
        """Empty for a private fact."""
        return str(message_of(self.envelope.type).DESCRIPTOR.GetOptions().Extensions[fact_option].topic)

    @property
    def at(self) -> datetime:
        return utc(self.envelope.occurred_at)

    @property
    def payload(self) -> Any:
        return payload_of(self.fact)


@dataclass(frozen=True, slots=True)
class Published:
    """A record of a topic that a relay of this platform wrote."""

    topic: str
    partition: int
    offset: int
    source: str  # service/cell/epoch
    position: int
    fact: bytes

    @property
    def service(self) -> str:
        return self.source.partition("/")[0]

    @property
    def epoch(self) -> int:
        return int(self.source.rpartition("/")[2])


@dataclass(frozen=True, slots=True)
class Evidence:
    """`stores`: the rows of each service by position. `topics`: records by topic, in the order of their offsets in
    each partition. `waits`: what response-SLA lists, by therapist. `epochs`: of each service that publishes.
    `restored`: the last position of a backup that a service was given back. `republished`: services that published
    everything again. `at`: when it was read.
    """

    stores: Mapping[str, Sequence[Stored]] = field(default_factory=dict)
    topics: Mapping[str, Sequence[Published]] = field(default_factory=dict)
    waits: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    epochs: Mapping[str, int] = field(default_factory=dict)
    restored: Mapping[str, int] = field(default_factory=dict)
    republished: Collection[str] = ()
    at: datetime = END_OF_TIME

    def facts(self, service: str, *types: str) -> Iterator[Stored]:
        """Yields the facts of these types, or all, by position."""
        for row in self.stores.get(service, ()):
            if not types or row.type in types:
                yield row


def utc(stamp: Timestamp) -> datetime:
    return stamp.ToDatetime(UTC)


@lru_cache(200_000)
def envelope_of(fact: bytes) -> Envelope:
    return Envelope.FromString(fact)


@lru_cache(200_000)
def payload_of(fact: bytes) -> Any:
    envelope = envelope_of(fact)
    return message_of(envelope.type).FromString(envelope.payload)


@lru_cache
def message_of(name: str) -> Any:
    return GetMessageClass(descriptor_pool.Default().FindMessageTypeByName(name))


def is_closed(phases: Iterable[Any], at: datetime) -> bool:
    """Says whether the phase an instant lies in is closed; nothing decided is open."""
    found = phase_at(phases, at)
    return found is not None and bool(found.closed)


def phase_at(phases: Iterable[Any], at: datetime) -> Any:
    """Returns the phase an instant lies in, None when there is none at all."""
    last = None
    for last in phases:
        if not last.HasField("until") or at < utc(last.until):
            return last
    return last
