"""Ids: one form for persons, requests, conversations, bookings, reports, facts."""

import random
import re
from collections.abc import Iterator
from typing import Protocol

ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}\Z")

DRAWN_AT_ONCE = 256


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
        self._drawn: Iterator[str] = iter(())

    def new(self) -> str:
        fresh = next(self._drawn, None)
        if fresh is not None:
            return fresh
        # Many at once: a call of the system for each would cost more than the rest of an id.
        digits = self._source.randbytes(16 * DRAWN_AT_ONCE).hex()
        self._drawn = iter([digits[start : start + 32] for start in range(0, len(digits), 32)])
        return next(self._drawn)
