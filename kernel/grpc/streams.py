"""Streams of requests: every message is checked like a call of its own, and a stopping server ends the stream."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from kernel.errors import Rejected
from kernel.grpc.call import CallContext

Request = TypeVar("Request")
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Checked(Generic[Request]):
    """One message of a stream, for whom it acts, and why it must not be carried out, if it must not."""

    request: Request
    call: CallContext
    rejected: Rejected | None


class Draining:
    """Says that the server is stopping, and ends waiting for next messages of streams."""

    def __init__(self) -> None:
        self.is_on = False
        self._waiting: set[asyncio.Task[Any]] = set()

    def begin(self) -> None:
        if self.is_on:
            return
        self.is_on = True
        for task in self._waiting:
            task.cancel()

    async def next_of(self, messages: AsyncIterator[bytes]) -> bytes:
        """Raises StopAsyncIteration at the end of the messages, and when draining begins."""
        task = asyncio.current_task()
        if self.is_on or task is None:
            raise StopAsyncIteration
        self._waiting.add(task)  # A timeout to be moved, for every message, would cost ten times as much.
        try:
            return await anext(messages)
        except asyncio.CancelledError:
            if self.is_on and task.uncancel() == 0:
                raise StopAsyncIteration from None
            raise
        finally:
            self._waiting.discard(task)


class Requests(Generic[Request]):
    """What a handler of a stream of requests is given. Iterated plainly, the first malformed or forbidden message ends
    the call with its reason; `each` leaves that to the handler.
    """

    def __init__(
        self, messages: AsyncIterator[bytes], draining: Draining, check: Callable[[bytes], Checked[Request]]
    ) -> None:
        self._messages = messages
        self._draining = draining
        self._check = check

    def __aiter__(self) -> "Requests[Request]":
        return self

    async def __anext__(self) -> Request:
        checked = await self.next_checked()
        if checked.rejected is not None:
            raise checked.rejected
        return checked.request

    async def next_checked(self) -> Checked[Request]:
        """Raises StopAsyncIteration at the end, Rejected for bytes that are no message: they cannot be answered."""
        return self._check(await self._draining.next_of(self._messages))


class Window(Generic[Item]):
    """Passes items from one task to another, which takes all there are at once; putting waits while it is full."""

    def __init__(self, items_max: int) -> None:
        self._items_max = items_max
        self._items: list[Item] = []
        self._is_closed = False
        self._changed = asyncio.Event()
        self._has_room = asyncio.Event()

    async def put(self, item: Item) -> None:
        while len(self._items) >= self._items_max:
            self._has_room.clear()
            await self._has_room.wait()
        self._items.append(item)
        self._changed.set()

    def close(self) -> None:
        """Nothing more is put."""
        self._is_closed = True
        self._changed.set()

    async def take(self) -> list[Item]:
        """Waits for items; returns none when it is closed and all were taken."""
        while not self._items and not self._is_closed:
            self._changed.clear()
            await self._changed.wait()
        taken, self._items = self._items, []
        self._has_room.set()
        return taken


async def each(requests: AsyncIterator[Request]) -> AsyncIterator[Checked[Request]]:
    """Takes what the handler of a stream was given. Yields every message with the call it makes; one that is not to be
    carried out has `rejected` set and leaves the stream open:

        async for checked in each(requests):
            if checked.rejected:
                yield refused(checked.request, checked.call.answer_to(checked.rejected))
    """
    given: Any = requests
    while True:
        try:
            yield await given.next_checked()
        except StopAsyncIteration:
            return
