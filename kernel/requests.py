"""The identity of a command: who asks for what under which id."""

import hashlib
from functools import lru_cache

from google.protobuf.message import Message

from kernel.store.interface import Request, RequestKind


def call_request(scope: str, method: str, request_id: str, payload: Message) -> Request:
    """Returns the request of a call. `scope`: whom it is made for, so that the same one through two callers is one."""
    key = hashlib.sha256(_of_scope(scope, method) + _frame(request_id)).digest()
    return Request(key, hashlib.sha256(payload.SerializeToString(deterministic=True)).digest())


def reaction_request(*names: str) -> Request:
    """Returns the request of what a service does by itself, named by consumer, fact and target, or timer and firing."""
    key = hashlib.sha256(_framed(*names)).digest()
    return Request(key, key, RequestKind.REACTION)


@lru_cache(maxsize=10_000)  # Who asks once asks again.
def _of_scope(scope: str, method: str) -> bytes:
    return _framed(scope, method)


def _framed(*parts: str) -> bytes:
    return b"".join([_frame(part) for part in parts])


def _frame(part: str) -> bytes:
    encoded = part.encode()
    return len(encoded).to_bytes(4, "big") + encoded
