"""Which waiting appends may share a transaction."""

import asyncio
from collections import deque
from dataclasses import dataclass, field
from itertools import islice

from kernel.errors import DeadlinePassed, Overloaded
from kernel.store.interface import Append, Appended, NameClaim


@dataclass(slots=True, eq=False)
class Waiting:
    append: Append
    answer: asyncio.Future[Appended]

    @property
    def bytes(self) -> int:
        return sum(map(len, self.append.facts)) + sum(len(a.content) for a in self.append.attachments)


@dataclass(slots=True)
class Batch:
    """At most one append per stream, claimed name and request, and never an append to a stream together with one that
    depends on it: in one statement neither would see the other.
    """

    members: list[Waiting] = field(default_factory=list)
    _written: set[str] = field(default_factory=set)
    _read: set[str] = field(default_factory=set)
    _names: set[str] = field(default_factory=set)
    _requests: set[bytes] = field(default_factory=set)

    def takes(self, waiting: Waiting) -> bool:
        """Adds the append if it may share the transaction, and says whether it did."""
        append = waiting.append
        names = {claim.name for claim in append.claims if isinstance(claim, NameClaim)}
        if (
            append.stream in self._written
            or append.stream in self._read
            or append.request.key in self._requests
            or not self._written.isdisjoint(append.depends_on)
            or not self._names.isdisjoint(names)
        ):
            return False
        self.members.append(waiting)
        self._written.add(append.stream)
        self._read.update(append.depends_on)
        self._names |= names
        self._requests.add(append.request.key)
        return True


class AppendQueue:
    """Bounded, in two classes: standing and reports go before everything else."""

    def __init__(self, waiting_max: int, batch_max: int, batch_bytes_max: int = 8 * 1024 * 1024) -> None:
        self._waiting_max = waiting_max
        self._batch_max = batch_max
        self._batch_bytes_max = batch_bytes_max
        self._urgent: deque[Waiting] = deque()
        self._ordinary: deque[Waiting] = deque()
        self._filled = asyncio.Event()

    def __len__(self) -> int:
        return len(self._urgent) + len(self._ordinary)

    def put(self, waiting: Waiting) -> None:
        """Raises Overloaded when the queue is full."""
        if len(self) >= self._waiting_max:
            raise Overloaded
        (self._urgent if waiting.append.urgent else self._ordinary).append(waiting)
        self._filled.set()

    async def take(self, now: float) -> list[Waiting]:
        """Waits for appends and returns those that go first together. `now` is replaced by each wait's end."""
        while not len(self):
            self._filled.clear()
            await self._filled.wait()
            now = asyncio.get_running_loop().time()
        batch = Batch()
        room = self._fill(batch, self._urgent, self._batch_bytes_max, now)
        self._fill(batch, self._ordinary, room, now)
        return batch.members

    def take_all(self) -> list[Waiting]:
        """Returns everyone who waits; the queue is empty then."""
        waiting = [*self._urgent, *self._ordinary]
        self._urgent.clear()
        self._ordinary.clear()
        return waiting

    def _fill(self, batch: Batch, queue: deque[Waiting], room: int, now: float) -> int:
        # A look past what cannot go now is bounded, or a long queue for one stream would cost its length every time.
        passed_over: list[Waiting] = []
        for waiting in list(islice(queue, 2 * self._batch_max)):
            if len(batch.members) >= self._batch_max or room <= 0:
                break
            queue.popleft()
            if waiting.answer.done():
                continue  # The caller went away.
            deadline = waiting.append.deadline
            if deadline is not None and deadline <= now:
                waiting.answer.set_exception(DeadlinePassed())
            elif batch.takes(waiting):
                room -= waiting.bytes
            else:
                passed_over.append(waiting)
        queue.extendleft(reversed(passed_over))
        return room
