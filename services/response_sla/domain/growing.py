"""A sequence for frozen states that take in one thing after another."""

from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Growing(Generic[T]):
    """Immutable to whoever holds it; adding returns a longer one that shares what is there, in O(1).

    Each sees the first `length` items of a list that only ever grows at its end. Adding to one that was already grown
    from copies first, so that no two histories meet.
    """

    __slots__ = ("_items", "_length")

    def __init__(self, items: Iterable[T] = ()) -> None:
        self._items = list(items)
        self._length = len(self._items)

    def add(self, item: T) -> "Growing[T]":
        items = self._items if len(self._items) == self._length else self._items[: self._length]
        items.append(item)
        longer: Growing[T] = Growing.__new__(Growing)
        longer._items = items
        longer._length = self._length + 1
        return longer

    def __iter__(self) -> Iterator[T]:
        return iter(self._items[: self._length])

    def __len__(self) -> int:
        return self._length

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Growing) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # as a list: equal by content, and the content may be long

    def __repr__(self) -> str:
        return f"Growing({list(self)!r})"
