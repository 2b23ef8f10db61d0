"""The identity of a command: who asks for what under which id."""

import hashlib
from functools import lru_cache

from google.protobuf.message import Message

from kernel.store.interface import Request, RequestKind


def call_request(caller: str, method: str, request_id: str, payload: Message) -> Request:
    """Returns the request of a call. No caller sees another's: the caller is part of the key."""
    key = hashlib.sha256(_of_caller(caller, method) + _frame(request_id)).digest()
    return Request(key, hashlib.sha256(payload.SerializeToString(deterministic=True)).digest())


def reaction_request(*names: str) -> Request:
    """Returns the request of what a service does by itself, named by consumer, fact and target, or timer and firing."""
    key = hashlib.sha256(_framed(*names)).digest()
    return Request(key, key, RequestKind.REACTION)


@lru_cache(maxsize=1_000)  # Callers are few, and each asks often.
def _of_caller(caller: str, method: str) -> bytes:
    return _framed(caller, method)


def _framed(*parts: str) -> bytes:
    return b"".join([_frame(part) for part in parts])


def _frame(part: str) -> bytes:
    encoded = part.encode()
    return len(encoded).to_bytes(4, "big") + encoded
