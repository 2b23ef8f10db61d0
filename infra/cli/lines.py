"""Files of another system, line by line: what each line says, or why it cannot be taken."""

import gzip
import json
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import BinaryIO, cast

from holdspace.messaging.v1.events_pb2 import SIDE_CLIENT, SIDE_THERAPIST, SIDE_UNSPECIFIED, Side
from holdspace.messaging.v1.service_pb2 import ImportLine, RejectedLine
from kernel.errors import Rejected
from kernel.facts import EPOCH, timestamp
from kernel.ids import is_id

LINE_BYTES_MAX = 64 * 1024
SECONDS = range(4_102_444_800)  # 1970 to 2099; milliseconds taken for seconds are beyond it
RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
GZIP_MAGIC = b"\x1f\x8b"
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
ROLES: Mapping[str, Side.ValueType] = {"client": SIDE_CLIENT, "therapist": SIDE_THERAPIST}

# What reading a damaged .gz raises; BadGzipFile is an OSError.
DAMAGED = (EOFError, zlib.error, gzip.BadGzipFile)


@dataclass(frozen=True, slots=True)
class Said:
    """What a line says, ids as the other system has them."""

    sender: str
    recipient: str
    sent_at: datetime
    side: Side.ValueType = SIDE_UNSPECIFIED  # of the sender


def read_trace(line: bytes) -> Said:
    """Takes `sender receiver seconds [role]`, separated by blanks. Raises Rejected, as does every reader."""
    fields = line.decode(errors="replace").split()
    if len(fields) not in (3, 4):
        raise Rejected("LINE_MALFORMED")
    sender, recipient, seconds, *role = fields
    if not (seconds.isascii() and seconds.isdecimal() and len(seconds) < 20):
        raise Rejected("FIELD_MALFORMED", "sent_at")
    return Said(sender, recipient, read_seconds(int(seconds)), *map(read_role, role))


def read_json(line: bytes) -> Said:
    """Takes an object with `sender`, `receiver`, `sent_at` and perhaps `role`; whatever else it has is left alone."""
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):
        raise Rejected("LINE_MALFORMED") from None
    if not isinstance(fields, dict):
        raise Rejected("LINE_MALFORMED")
    for key, field in (("sender", "sender_id"), ("receiver", "recipient_id"), ("sent_at", "sent_at")):
        if key not in fields:
            raise Rejected("FIELD_MISSING", field)
        if type(fields[key]) not in (str, int):
            raise Rejected("FIELD_MALFORMED", field)
    at = fields["sent_at"]
    sent_at = read_rfc_3339(at) if isinstance(at, str) else read_seconds(at)
    side = read_role(fields["role"]) if "role" in fields else SIDE_UNSPECIFIED
    return Said(str(fields["sender"]), str(fields["receiver"]), sent_at, side)


FORMATS: Mapping[str, Callable[[bytes], Said]] = {"trace": read_trace, "jsonl": read_json}


def read_role(role: object) -> Side.ValueType:
    """Takes what the sender is: client or therapist."""
    side = ROLES.get(role) if isinstance(role, str) else None
    if side is None:
        raise Rejected("FIELD_MALFORMED", "sender")
    return side


def read_seconds(seconds: int) -> datetime:
    if seconds not in SECONDS:
        raise Rejected("FIELD_MALFORMED", "sent_at")
    return datetime.fromtimestamp(seconds, UTC)


def read_rfc_3339(text: str) -> datetime:
    try:
        if not RFC_3339.fullmatch(text):
            raise ValueError(text)
        sent_at = datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise Rejected("FIELD_MALFORMED", "sent_at") from None
    read_seconds((sent_at - EPOCH).days * 86_400)
    return sent_at


def unpacked(file: BinaryIO) -> BinaryIO:
    """Returns the content of a file that is packed with gzip, by its name or its first bytes, or of one that is not.

    Reading, here and later, may raise one of DAMAGED.
    """
    first = file.read(len(GZIP_MAGIC))
    file.seek(0)
    is_packed = str(file.name).endswith(".gz") or first == GZIP_MAGIC
    content = cast("BinaryIO", gzip.GzipFile(fileobj=file)) if is_packed else file
    if content.read(len(BYTE_ORDER_MARK)) != BYTE_ORDER_MARK:
        content.seek(0)
    return content


def read(content: BinaryIO, form: str, source: str, *, has_header: bool = False) -> Iterator[ImportLine | RejectedLine]:
    """Yields every line in order, numbered from 1 as an editor does; a header has its number too, and is passed over.
    A blank line is rejected unless it is the last.
    """
    blank = 0
    for number, line in enumerate(_raw_lines(content), 1):
        if has_header and number == 1:
            continue
        if blank:
            yield RejectedLine(line=blank, reason="LINE_BLANK")
        blank = 0 if line.strip() else number
        if not blank:
            yield _read_line(number, line, form, source)


def _read_line(number: int, line: bytes, form: str, source: str) -> ImportLine | RejectedLine:
    try:
        if len(line) > LINE_BYTES_MAX:
            raise Rejected("LINE_TOO_LONG")
        said = FORMATS[form](line)
        return ImportLine(
            line=number,
            sender_id=person_id(source, said.sender, "sender_id"),
            recipient_id=person_id(source, said.recipient, "recipient_id"),
            sent_at=timestamp(said.sent_at),
            sender=said.side,
        )
    except Rejected as rejected:
        if number == 1 and _names_columns(line):
            return RejectedLine(line=1, reason="LINE_IS_HEADER")
        return RejectedLine(line=number, reason=rejected.reason, field=rejected.field)


def _names_columns(line: bytes) -> bool:
    """Says whether the line looks like a header: words in place of a sender, a receiver and a time."""
    words = line.replace(b",", b" ").replace(b";", b" ").split()
    return len(words) in (3, 4) and all(word.replace(b"_", b"").isalpha() for word in words)


def person_id(source: str, raw: str, field: str) -> str:
    """Returns our id of a person of the other system; two systems may both have a person 12. Raises Rejected."""
    ours = f"{source}-{raw}"
    if not raw or not is_id(ours):
        raise Rejected("FIELD_MALFORMED", field)
    return ours


def _raw_lines(content: BinaryIO) -> Iterator[bytes]:
    """Yields lines, their ends included; of one that is too long only its beginning, which is longer than the limit."""
    limit = LINE_BYTES_MAX + len(b"\r\n")
    while line := content.readline(limit):
        rest = line
        while len(rest) == limit and not rest.endswith(b"\n"):
            rest = content.readline(limit)
        yield line if len(line) == limit and not line.endswith(b"\n") else line.rstrip(b"\r\n")
