"""Every line of a file is either taken or has a reason, whatever is in it."""

import gzip
import io
import json
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdspace.messaging.v1.events_pb2 import SIDE_CLIENT, SIDE_THERAPIST
from holdspace.messaging.v1.service_pb2 import ImportLine
from infra.cli import lines

SECONDS = 1_082_040_961


def read(content: bytes, form: str = "trace", source: str = "src") -> list[tuple[Any, ...]]:
    """Returns each line: its number, and what it says or why it is rejected."""
    return [
        (line.line, line.sender_id, line.recipient_id, line.sent_at.ToJsonString())
        if isinstance(line, ImportLine)
        else (line.line, line.reason, line.field)
        for line in lines.read(io.BytesIO(content), form, source)
    ]


def json_line(**fields: object) -> bytes:
    return json.dumps({"sender": "a", "receiver": "b", "sent_at": SECONDS, **fields}).encode()


TAKEN = (1, "src-1", "src-2", "2004-04-15T14:56:01Z")


@pytest.mark.parametrize(
    "line", [b"1 2 1082040961", b"1 2 1082040961\n", b"1 2 1082040961\r\n", b" 1\t2  1082040961 \n"]
)
def test_a_line_of_a_trace_is_taken_whatever_its_blanks_and_its_end(line: bytes) -> None:
    assert read(line) == [TAKEN]


def test_a_blank_line_is_rejected_unless_it_is_the_last() -> None:
    content = b"1 2 1082040961\n\r\n1 2 1082040962\n\n"
    assert read(content)[1:] == [(2, "LINE_BLANK", ""), (3, "src-1", "src-2", "2004-04-15T14:56:02Z")]
    assert read(b"") == read(b"\n") == []


@pytest.mark.parametrize(("role", "side"), [("client", SIDE_CLIENT), ("therapist", SIDE_THERAPIST)])
def test_a_line_says_the_role_of_its_sender_in_either_format(role: str, side: int) -> None:
    for form, line in (("trace", f"1 2 {SECONDS} {role}".encode()), ("jsonl", json_line(role=role))):
        [taken] = lines.read(io.BytesIO(line), form, "src")
        assert isinstance(taken, ImportLine)
        assert taken.sender == side


def test_a_header_is_passed_over_where_it_is_announced_and_named_where_it_is_not() -> None:
    content = b"sender receiver sent_at\n1 2 1082040961\n"
    taken = (2, *TAKEN[1:])
    assert read(content) == [(1, "LINE_IS_HEADER", ""), taken]
    announced = lines.read(io.BytesIO(content), "trace", "src", has_header=True)
    assert [line.line for line in announced] == [2]
    assert read(b"1 2 1082040961\nsender receiver sent_at\n")[1] == (2, "FIELD_MALFORMED", "sent_at")


BAD_TRACE = {
    b"1 2": ("LINE_MALFORMED", ""),
    b"1 2 3 4 5": ("LINE_MALFORMED", ""),
    b"1 2 1082040961 4": ("FIELD_MALFORMED", "sender"),  # no role
    b"1 2 soon": ("FIELD_MALFORMED", "sent_at"),
    b"1 2 -5": ("FIELD_MALFORMED", "sent_at"),
    b"1 2 1082040961.5": ("FIELD_MALFORMED", "sent_at"),
    b"1 2 1082040961000": ("FIELD_MALFORMED", "sent_at"),  # milliseconds
    b"1 2 " + b"9" * 5_000: ("FIELD_MALFORMED", "sent_at"),
    "1 2 \u0661\u0662".encode(): ("FIELD_MALFORMED", "sent_at"),  # digits, but not ours
    b"a.b 2 1082040961": ("FIELD_MALFORMED", "sender_id"),
    b"1 \xff\xfe 1082040961": ("FIELD_MALFORMED", "recipient_id"),
    b"1 " + b"x" * 61 + b" 1082040961": ("FIELD_MALFORMED", "recipient_id"),  # src- makes it 65
    b"x" * (lines.LINE_BYTES_MAX + 1): ("LINE_TOO_LONG", ""),
}


@pytest.mark.parametrize(("line", "why"), BAD_TRACE.items(), ids=range(len(BAD_TRACE)))
def test_a_bad_line_of_a_trace_has_its_reason_and_the_next_one_is_taken(line: bytes, why: tuple[str, str]) -> None:
    assert read(line + b"\n1 2 1082040961\n") == [(1, *why), (2, *TAKEN[1:])]


@pytest.mark.parametrize(
    ("sent_at", "at"),
    [
        (SECONDS, "2004-04-15T14:56:01Z"),
        ("2004-04-15T14:56:01Z", "2004-04-15T14:56:01Z"),
        ("2004-04-15t16:56:01.25+02:00", "2004-04-15T14:56:01.250Z"),
    ],
)
def test_a_json_line_gives_its_time_in_seconds_or_as_rfc_3339(sent_at: object, at: str) -> None:
    assert read(json_line(sent_at=sent_at, body="left alone"), "jsonl") == [(1, "src-a", "src-b", at)]
    assert read(json_line(sender=7, sent_at=sent_at), "jsonl")[0][1] == "src-7"


BAD_JSON = {
    b"{": ("LINE_MALFORMED", ""),
    b"[1]": ("LINE_MALFORMED", ""),
    b"[" * 50_000: ("LINE_MALFORMED", ""),
    b'{"sender": "a", "sent_at": 1}': ("FIELD_MISSING", "recipient_id"),
    json_line(sender=None): ("FIELD_MALFORMED", "sender_id"),
    json_line(sender=True): ("FIELD_MALFORMED", "sender_id"),
    json_line(role="moderator"): ("FIELD_MALFORMED", "sender"),
    json_line(role=None): ("FIELD_MALFORMED", "sender"),
    json_line(sender=""): ("FIELD_MALFORMED", "sender_id"),
    json_line(receiver="b c"): ("FIELD_MALFORMED", "recipient_id"),
    json_line(sent_at=1.5): ("FIELD_MALFORMED", "sent_at"),
    json_line(sent_at=-1): ("FIELD_MALFORMED", "sent_at"),
    json_line(sent_at="2004-04-15"): ("FIELD_MALFORMED", "sent_at"),
    json_line(sent_at="2004-04-15T14:56:01"): ("FIELD_MALFORMED", "sent_at"),  # of no zone
    json_line(sent_at="2004-02-30T14:56:01Z"): ("FIELD_MALFORMED", "sent_at"),
    json_line(sent_at="0001-01-01T00:00:00+10:00"): ("FIELD_MALFORMED", "sent_at"),
    json_line(sent_at="2345-01-01T00:00:00Z"): ("FIELD_MALFORMED", "sent_at"),
}


@pytest.mark.parametrize(("line", "why"), BAD_JSON.items(), ids=range(len(BAD_JSON)))
def test_a_bad_json_line_has_its_reason(line: bytes, why: tuple[str, str]) -> None:
    assert read(line, "jsonl") == [(1, *why)]


@given(st.lists(st.binary(max_size=40).filter(lambda line: b"\n" not in line and line.strip())))
def test_no_line_is_lost_and_none_raises(content: list[bytes]) -> None:
    for form in lines.FORMATS:
        assert [line[0] for line in read(b"\n".join(content), form)] == list(range(1, len(content) + 1))


@pytest.mark.parametrize("name", ["trace.gz", "trace"])
def test_a_packed_file_is_known_by_its_name_or_its_first_bytes(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(gzip.compress(b"\xef\xbb\xbf1 2 1082040961\r\n"))
    with path.open("rb") as file:
        assert read(lines.unpacked(file).read()) == [TAKEN]


def test_a_damaged_packed_file_gives_its_lines_up_to_the_damage(tmp_path: Path) -> None:
    path = tmp_path / "trace.gz"
    whole = gzip.compress(b"".join(b"%d 2 1082040961\n" % n for n in range(20_000)))
    path.write_bytes(whole[: len(whole) // 2])
    with path.open("rb") as file:
        taken = []
        with pytest.raises(lines.DAMAGED):  # noqa: PT012 - it is raised by one of the lines
            for line in lines.read(lines.unpacked(file), "trace", "src"):
                taken.append(line)  # noqa: PERF402 - as above
    assert taken

    path.write_bytes(b"no gzip at all")
    with path.open("rb") as file, pytest.raises((OSError, zlib.error)):
        lines.unpacked(file)
