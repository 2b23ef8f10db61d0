"""Lists a page at a time (AIP-158). A token is bound to its list and filters, and says where the next page starts."""

from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from google.protobuf.message import Message

from holdspace.kernel.v1.tokens_pb2 import PageToken
from kernel.errors import Rejected
from kernel.grpc.opaque import seal, unseal

NOT_FILTERS = ("page_size", "page_token", "at_least")  # These may differ from one page to the next.


@dataclass(frozen=True, slots=True)
class Page:
    """The page a request asks for. `after`: the values the last page gave to `next`; empty for the first page. A caller
    could forge them, so they are checked like any input.
    """

    size: int
    after: tuple[str, ...]
    list: bytes

    def next(self, *after: str) -> str:
        """Takes the sort key of this page's last row. Returns the next_page_token."""
        return seal(PageToken(list=self.list, after=after))


def page(request: Message, *, size_default: int = 50, size_max: int = 500) -> Page:
    """Takes a request with page_size and page_token; no size means the default, and more than the most means the most.

    Raises Rejected FIELD_MALFORMED for a negative size, PAGE_TOKEN_STALE for a token of another list or other filters.
    """
    asked: Any = request
    if asked.page_size < 0:
        raise Rejected("FIELD_MALFORMED", "page_size")
    size = min(asked.page_size or size_default, size_max)
    digest = _digest(request)
    if not asked.page_token:
        return Page(size, (), digest)
    token = unseal(asked.page_token, PageToken)
    if token is None or token.list != digest or not token.after:
        raise Rejected("PAGE_TOKEN_STALE", "page_token")
    return Page(size, tuple(token.after), digest)


def _digest(request: Message) -> bytes:
    filters = type(request)()
    filters.CopyFrom(request)
    for name in NOT_FILTERS:
        if name in filters.DESCRIPTOR.fields_by_name:
            filters.ClearField(name)
    return sha256(f"{filters.DESCRIPTOR.full_name}\n".encode() + filters.SerializeToString(deterministic=True)).digest()
