"""Ids: one form for persons, requests, conversations, bookings, reports, facts."""

import random
import re
from typing import Protocol

ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}\Z")


def is_id(text: str) -> bool:
    return ID.match(text) is not None


class Ids(Protocol):
    def new(self) -> str:
        """Returns a fresh id of 32 hexadecimal digits."""
        ...


class RandomIds:
    """128 random bits each. A simulation hands in a seeded source, production the operating system's."""

    def __init__(self, source: random.Random | None = None) -> None:
        self._source = source or random.SystemRandom()

    def new(self) -> str:
        return self._source.randbytes(16).hex()
