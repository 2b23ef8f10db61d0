"""What comes off a topic: bytes first, a fact once it has been opened."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from holdspace.kernel.v1.envelope_pb2 import Envelope


class Partition(NamedTuple):
    topic: str
    number: int


class Lane(NamedTuple):
    """What is kept in order: the records of one key of one topic."""

    topic: str
    key: bytes


@dataclass(slots=True, eq=False)  # Each is itself; and a frozen one would take three times as long to make.
class Record:
    topic: str
    partition: int
    offset: int
    key: bytes  # empty when the record has none
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]

    @property
    def lane(self) -> Lane:
        return Lane(self.topic, self.key)


class ForeignFact(NamedTuple):
    """A fact of another service. `version` and `stream` are its place in the store it comes from."""

    envelope: Envelope
    payload: Any  # the message its type names
    topic: str
    partition: int
    offset: int
    source: str
    position: int
    stream: str
    version: int
    recorded_at: datetime

    @property
    def origin(self) -> str:
        """The source without its epoch: service/cell."""
        return self.source.rpartition("/")[0]

    @property
    def epoch(self) -> int:
        """The source's epoch: higher after each restore from a backup."""
        return int(self.source.rpartition("/")[2])
