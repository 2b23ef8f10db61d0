"""Streams of requests: every message is checked like a call of its own, and a stopping server ends the stream."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

from kernel.errors import Rejected
from kernel.grpc.call import CallContext
from kernel.grpc.draining import Draining

Request = TypeVar("Request")
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """`idle_seconds`: how long the next message is waited for. `age_seconds`: how long messages are taken at all."""

    idle_seconds: float
    age_seconds: float


class Checked(NamedTuple, Generic[Request]):
    """One message of a stream, for whom it acts, and why it must not be carried out, if it must not."""

    request: Request
    person: str
    request_id: str
    stream: CallContext
    rejected: Rejected | None

    @property
    def call(self) -> CallContext:
        """The call that the message makes."""
        return self.stream.of(self.person, self.request_id)


class Reading:
    """Reads messages for one task, until their end or its own: then that task, should it wait, no longer does.

    A timeout for every message would cost ten times as much as the one timer that looks whether it is time.
    """

    def __init__(self, messages: AsyncIterator[bytes], limits: StreamLimits | None) -> None:
        self._messages = messages
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self._waiting_since: float | None = None
        self.is_ended = False  # before the caller's own end
        self._ends_at = self._loop.time() + limits.age_seconds if limits else 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._look()

    async def next(self) -> bytes | None:
        """Returns None at the end."""
        if self.is_ended or self._task is None:
            return None
        self._waiting_since = self._loop.time()
        try:
            return await anext(self._messages)
        except StopAsyncIteration:
            return None
        except asyncio.CancelledError:
            if self.is_ended and self._task.uncancel() == 0:
                return None
            raise
        finally:
            self._waiting_since = None

    def end(self) -> None:
        if self.is_ended:
            return
        self.is_ended = True
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None and self._waiting_since is not None:
            self._task.cancel()

    def _look(self) -> None:
        """Ends when it is time, and looks again when it may be."""
        if self._limits is None:
            return
        now = self._loop.time()
        ends_at = min(self._ends_at, (self._waiting_since or now) + self._limits.idle_seconds)
        if now >= ends_at:
            self.end()
        else:
            self._timer = self._loop.call_at(ends_at, self._look)


class Requests(Generic[Request]):
    """What a handler of a stream of requests is given. Iterated plainly, the first malformed or forbidden message ends
    the call with its reason, and so does a server that stops. `each` leaves refusals to the handler, and lets it answer
    what came before the stop.
    """

    def __init__(
        self, messages: AsyncIterator[bytes], draining: Draining, check: Callable[[bytes], Checked[Request]]
    ) -> None:
        self._messages = messages
        self._draining = draining
        self._check = check
        self.is_cut = False  # The server stops: there may be more than was read.

    async def __aiter__(self) -> AsyncIterator[Request]:
        async for checked in self.each():
            if checked.rejected is not None:
                raise checked.rejected
            yield checked.request
        if self.is_cut:
            raise Rejected("DRAINING")

    async def each(self, limits: StreamLimits | None = None) -> AsyncIterator[Checked[Request]]:
        """Raises Rejected for bytes that are no message: they cannot be answered."""
        reading = Reading(self._messages, limits)
        with self._draining.ends(reading):
            while (message := await reading.next()) is not None:
                yield self._check(message)
            self.is_cut = self._draining.is_on and reading.is_ended


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


def each(requests: AsyncIterator[Request], limits: StreamLimits | None = None) -> AsyncIterator[Checked[Request]]:
    """Takes what the handler of a stream was given. Yields, to one task, every message with the call it makes; one that
    is not to be carried out has `rejected` set and leaves the stream open:

        async for checked in each(requests):
            if checked.rejected:
                yield refused(checked.request, checked.call.answer_to(checked.rejected))

    At a limit it ends as if the caller had ended it.
    """
    given: Any = requests
    checked: AsyncIterator[Checked[Request]] = given.each(limits)
    return checked
