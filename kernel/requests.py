"""The identity of a command: who asks for what under which id."""

import hashlib

from google.protobuf.message import Message

from kernel.store.interface import Request, RequestKind


def call_request(caller: str, method: str, request_id: str, payload: Message) -> Request:
    """Returns the request of a call. No caller sees another's: the caller is part of the key."""
    return Request(
        _digest(caller, method, request_id), hashlib.sha256(payload.SerializeToString(deterministic=True)).digest()
    )


def reaction_request(*names: str) -> Request:
    """Returns the request of what a service does by itself, named by consumer, fact and target, or timer and firing."""
    key = _digest(*names)
    return Request(key, key, RequestKind.REACTION)


def _digest(*parts: str) -> bytes:
    encoded = [part.encode() for part in parts]
    return hashlib.sha256(b"".join([len(part).to_bytes(4, "big") + part for part in encoded])).digest()
