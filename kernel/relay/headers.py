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


class Headers(NamedTuple):
    source: str  # <service>/<cell>/<epoch>
    position: int
    stream: str
    version: int
    recorded_at: datetime

    def encode(self, at: int | None = None) -> list[tuple[str, bytes]]:
        """Returns names and values; numbers are decimal. `at`: `recorded_at` in microseconds since 1970, if known."""
        source, position, stream, version, recorded_at = self
        return [
            ("source", source.encode()),
            ("position", b"%d" % position),
            ("stream", stream.encode()),
            ("version", b"%d" % version),
            ("recorded_at", b"%d" % (microseconds(recorded_at) if at is None else at)),
        ]


def decode(headers: Sequence[tuple[str, bytes]]) -> Headers:
    """Raises Poison unless every header is there and holds what the relay puts into it. Others are passed over."""
    try:
        names, values = zip(*headers, strict=True)
        if names != Headers._fields:  # The relay writes them in this order, and looking each up costs as much again.
            found = dict(headers)
            values = tuple(found[name] for name in Headers._fields)
        source, position, stream, version, recorded_at = values
        decoded = Headers(
            _source(source),
            int(position),
            stream.decode(),
            int(version),
            EPOCH + timedelta(0, 0, int(recorded_at)),
        )
    except (KeyError, ValueError, OverflowError, AttributeError) as error:
        raise Poison("headers that no relay wrote") from error
    in_range = 0 < decoded.position <= BIGINT_MAX and 0 < decoded.version <= INTEGER_MAX
    if not in_range or not _is_stream(decoded.stream):
        raise Poison("headers that no relay wrote")
    return decoded


@lru_cache(1_024)  # There are few, and each comes with every fact of its service.
def _source(encoded: bytes) -> str:
    source = encoded.decode()
    if not SOURCE.match(source):
        raise ValueError(source)
    return source


def microseconds(instant: datetime) -> int:
    """Returns whole microseconds since 1970; exact, unlike a float of seconds."""
    return (instant - EPOCH) // MICROSECOND


def _is_stream(name: str) -> bool:
    return 0 < len(name) <= STREAM_CHARACTERS_MAX and "\0" not in name
