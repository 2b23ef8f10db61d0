"""Lists a page at a time (AIP-158). A token says where the next page starts, and fits its list and filters alone.

Tokens are authenticated (HMAC-SHA256): what comes back is what a service gave, so nobody but the key's holders makes up
where a page starts.
"""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from google.protobuf.message import Message

from holdspace.kernel.v1.tokens_pb2 import PageToken
from kernel.errors import Rejected
from kernel.grpc.opaque import seal, unseal

NOT_FILTERS = ("page_size", "page_token", "at_least")  # These may differ from one page to the next.
NUMBER_MAX = 2**63 - 1
DOMAIN = b"holdspace page token 1\n"

Kind = type[str] | type[int] | type[datetime]
Value = str | int | datetime


@dataclass(frozen=True, slots=True)
class Page:
    """The page a request asks for. `after`: the values the last page gave to `next`; empty for the first page."""

    size: int
    after: tuple[Any, ...]
    list: bytes
    kinds: tuple[Kind, ...]
    key: bytes

    def next(self, *after: Value) -> str:
        """Takes the sort key of this page's last row, of the list's kinds. Returns the next_page_token."""
        assert len(after) == len(self.kinds)  # noqa: S101 - a programmer's error
        assert all(map(isinstance, after, self.kinds)), after  # noqa: S101 - as above
        texts = [value.astimezone(UTC).isoformat() if isinstance(value, datetime) else str(value) for value in after]
        return seal(PageToken(list=self.list, after=texts, mac=_mac(self.key, self.list, texts)))


class Pages:
    """Makes and takes tokens. All processes of a service need the same key, or a page ends at the next process."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def of(self, request: Message, *kinds: Kind, size_default: int = 50, size_max: int = 500) -> Page:
        """Takes a request with page_size and page_token, and the kinds of what the list is sorted by. No size means the
        default, and more than the most means the most.

        Raises Rejected FIELD_MALFORMED for a negative size, PAGE_TOKEN_INVALID for what this list has not given.
        """
        asked: Any = request
        if asked.page_size < 0:
            raise Rejected("FIELD_MALFORMED", "page_size")
        size = min(asked.page_size or size_default, size_max)
        digest = _digest(request)
        after = self._after(asked.page_token, digest, kinds) if asked.page_token else ()
        return Page(size, after, digest, kinds, self._key)

    def _after(self, text: str, digest: bytes, kinds: Sequence[Kind]) -> tuple[Value, ...]:
        token = unseal(text, PageToken)
        if (
            token is None
            or not hmac.compare_digest(token.mac, _mac(self._key, token.list, token.after))
            or token.list != digest
            or len(token.after) != len(kinds)
        ):
            raise Rejected("PAGE_TOKEN_INVALID", "page_token")
        try:
            return tuple(_value(one, kind) for one, kind in zip(token.after, kinds, strict=True))
        except ValueError:  # Another release gave it.
            raise Rejected("PAGE_TOKEN_INVALID", "page_token") from None


def _value(text: str, kind: Kind) -> Value:
    """Raises ValueError."""
    if kind is datetime:
        at = datetime.fromisoformat(text)
        if at.tzinfo is None:
            raise ValueError("no zone")
        return at
    if kind is int:
        number = int(text)
        if abs(number) > NUMBER_MAX:
            raise ValueError("too large")
        return number
    if "\0" in text:
        raise ValueError("no text of ours")
    return text


def _mac(key: bytes, digest: bytes, after: Sequence[str]) -> bytes:
    signed = PageToken(list=digest, after=after).SerializeToString(deterministic=True)
    return hmac.digest(key, DOMAIN + signed, "sha256")


def _digest(request: Message) -> bytes:
    """Of the list, which the request's type stands for, and its filters."""
    filters = type(request)()
    filters.CopyFrom(request)
    for name in NOT_FILTERS:
        if name in filters.DESCRIPTOR.fields_by_name:
            filters.ClearField(name)
    return sha256(f"{filters.DESCRIPTOR.full_name}\n".encode() + filters.SerializeToString(deterministic=True)).digest()
