"""Where a fact stands in its store, as the Kafka headers that travel beside the envelope."""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

from kernel.errors import Poison
from kernel.facts import EPOCH

SOURCE = re.compile(r"[a-z][a-z0-9_]{0,62}/[A-Za-z0-9_-]{1,64}/[1-9][0-9]{0,8}\Z")
BIGINT_MAX = 2**63 - 1
INTEGER_MAX = 2**31 - 1
STREAM_CHARACTERS_MAX = 512
MICROSECOND = timedelta(microseconds=1)


Encoded = list[tuple[str, bytes]]
"""Names and values; numbers are decimal, instants microseconds since 1970."""


class Headers(NamedTuple):
    source: str  # <service>/<cell>/<epoch>
    position: int
    stream: str
    version: int
    recorded_at: datetime

    def encode(self) -> Encoded:
        source, position, stream, version, recorded_at = self
        return encode(source.encode(), position, stream.encode(), version, b"%d" % microseconds(recorded_at))


def encode(source: bytes, position: int, stream: bytes, version: int, recorded_at: bytes) -> Encoded:
    """Returns the headers of these values; texts in UTF-8, `recorded_at` in microseconds since 1970, decimal."""
    return [
        ("source", source),
        ("position", b"%d" % position),
        ("stream", stream),
        ("version", b"%d" % version),
        ("recorded_at", recorded_at),
    ]


def decode(headers: Sequence[tuple[str, bytes]]) -> Headers:
    """Raises Poison unless every header is there and holds what the relay puts into it. Others are passed over."""
    try:
        found = dict(headers)
        source, stream = _source(found["source"]), found["stream"].decode()
        position, version = int(found["position"]), int(found["version"])
        recorded_at = EPOCH + timedelta(0, 0, int(found["recorded_at"]))
    except (KeyError, ValueError, TypeError, OverflowError, AttributeError) as error:
        raise Poison("headers that no relay wrote") from error
    in_range = 0 < position <= BIGINT_MAX and 0 < version <= INTEGER_MAX
    if not in_range or not 0 < len(stream) <= STREAM_CHARACTERS_MAX or "\0" in stream:
        raise Poison("headers that no relay wrote")
    return Headers(source, position, stream, version, recorded_at)


@lru_cache(1_024)  # There are few, and each comes with every fact of its service.
def _source(encoded: bytes) -> str:
    source = encoded.decode()
    if not SOURCE.match(source):
        raise ValueError(source)
    return source


def microseconds(instant: datetime) -> int:
    """Returns whole microseconds since 1970; exact, unlike a float of seconds."""
    return (instant - EPOCH) // MICROSECOND
