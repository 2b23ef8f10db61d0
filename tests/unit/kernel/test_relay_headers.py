"""Headers as they come off a topic, to which anybody with a producer can write."""

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from kernel.errors import Poison
from kernel.relay.headers import Headers, decode

WRITTEN = Headers("messaging/one/1", 7, "conversation-a", 3, datetime(2026, 3, 2, 9, 0, 0, 123_456, tzinfo=UTC))


def with_value(name: str, value: bytes | None) -> Sequence[tuple[str, bytes | None]]:
    return [(key, value if key == name else known) for key, known in WRITTEN.encode()]


def test_what_is_written_is_read_in_any_order_and_beside_other_headers() -> None:
    encoded = WRITTEN.encode()
    assert decode(encoded) == WRITTEN
    assert decode([("trace", b"x"), *reversed(encoded)]) == WRITTEN


@pytest.mark.parametrize("missing", Headers._fields)
def test_a_header_that_is_missing_or_null_is_poison(missing: str) -> None:
    with pytest.raises(Poison):
        decode([header for header in WRITTEN.encode() if header[0] != missing])
    with pytest.raises(Poison):
        decode(with_value(missing, None))  # type: ignore[arg-type]  # Kafka lets a header have no value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("source", b"messaging"),
        ("source", b"messaging/one/0"),
        ("source", b"\xff"),
        ("position", b"0"),
        ("position", b"9223372036854775808"),
        ("position", b"seven"),
        ("stream", b""),
        ("stream", b"a\0b"),
        ("stream", b"a" * 513),
        ("stream", b"\xff"),
        ("version", b"-1"),
        ("version", b"2147483648"),
        ("recorded_at", b"9" * 30),
        ("recorded_at", b""),
    ],
)
def test_a_value_that_no_relay_writes_is_poison(name: str, value: bytes) -> None:
    with pytest.raises(Poison):
        decode(with_value(name, value))  # type: ignore[arg-type]
