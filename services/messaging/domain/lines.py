"""The imported lines of a conversation, by which a repeated one is known for good."""

from bisect import bisect_left
from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple


class Line(NamedTuple):
    number: int
    at: datetime
    sender_id: str


class Lines:
    """Those of one part of a source: their times rise with their numbers. Immutable to whoever holds it.

    Adding at the end shares what is there, in O(1): each sees the first `length` items of a list that only ever grows
    at its end. Any other addition copies.
    """

    __slots__ = ("_items", "_length")

    def __init__(self, items: Iterable[Line] = ()) -> None:
        self._items = list(items)
        self._length = len(self._items)

    def add(self, line: Line) -> "Lines":
        place = self._place(line.number)
        if place < self._length or self._length < len(self._items):
            return Lines([*self._items[:place], line, *self._items[place : self._length]])
        self._items.append(line)
        longer: Lines = Lines.__new__(Lines)
        longer._items = self._items
        longer._length = self._length + 1
        return longer

    def numbered(self, number: int) -> Line | None:
        place = self._place(number)
        found = self._items[place] if place < self._length else None
        return found if found is not None and found.number == number else None

    def neighbours(self, number: int) -> tuple[Line | None, Line | None]:
        """Returns the lines just before and just behind a number that is not there."""
        place = self._place(number)
        return (
            self._items[place - 1] if place else None,
            self._items[place] if place < self._length else None,
        )

    def has(self, sender_id: str, at: datetime) -> bool:
        """Says whether the sender has a line of this very instant."""
        place = bisect_left(self._items, at, hi=self._length, key=lambda line: line.at)
        while place < self._length and self._items[place].at == at:
            if self._items[place].sender_id == sender_id:
                return True
            place += 1
        return False

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Lines) and self._items[: self._length] == other._items[: other._length]

    __hash__ = None  # type: ignore[assignment]  # as a list: equal by content, and the content may be long

    def _place(self, number: int) -> int:
        return bisect_left(self._items, number, hi=self._length, key=lambda line: line.number)
