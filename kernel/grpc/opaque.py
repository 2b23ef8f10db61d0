"""Messages as text that callers hand back without reading it."""

import binascii
from base64 import b64decode, urlsafe_b64encode
from typing import TypeVar

from google.protobuf.message import DecodeError, Message

M = TypeVar("M", bound=Message)


def seal(message: Message) -> str:
    """Returns base64url without padding."""
    return urlsafe_b64encode(message.SerializeToString(deterministic=True)).rstrip(b"=").decode()


def unseal(text: str, message: type[M]) -> M | None:
    """Returns None for text that is no such message."""
    try:
        return message.FromString(b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, DecodeError):
        return None
