"""Which waiting appends may share a transaction."""

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice

from kernel.errors import DeadlinePassed, Overloaded
from kernel.store.interface import Append, Appended, NameClaim

GATHER_SECONDS = 0.002  # at most, about what a commit takes


Told = Appended | Exception
"""What became of an append: its outcome, or why it has none."""


NOTHING: frozenset[str] = frozenset()


class Waiting:
    """Appends that were asked for together: they go together, and one answer tells what became of each."""

    __slots__ = ("answer", "appends", "bytes", "deadline", "names", "read", "requests", "urgent", "written")

    def __init__(self, appends: Sequence[Append]) -> None:
        self.appends = appends
        self.answer: asyncio.Future[Sequence[Told]] = asyncio.get_running_loop().create_future()
        self.written: set[str] = set()
        self.read = NOTHING
        self.names = NOTHING
        self.requests: set[bytes] = set()
        self.bytes = 0
        self.urgent = False
        self.deadline: float | None = None
        for append in appends:  # Once: most come alone, and a comprehension for each would cost them twice as much.
            self.written.add(append.stream)
            self.requests.add(append.request.key)
            self.bytes += sum(map(len, append.facts))
            if append.depends_on:
                self.read |= append.depends_on.keys()
            if append.claims:
                self.names |= {claim.name for claim in append.claims if isinstance(claim, NameClaim)}
            if append.attachments:
                self.bytes += sum([len(body.content) for body in append.attachments])
            if append.urgent:
                self.urgent = True
            if append.deadline is not None:
                self.deadline = append.deadline if self.deadline is None else min(self.deadline, append.deadline)

    @property
    def may_share(self) -> bool:
        """Whether the appends may share a transaction with each other; those of one stream may."""
        is_alone = len(self.appends) == 1
        return is_alone or (len(self.requests) == len(self.appends) and self.written.isdisjoint(self.read))


@dataclass(slots=True)
class Batch:
    """Of a stream, a claimed name or a request at most one member's appends, and never an append to a stream together
    with one that depends on it: in one statement neither would see the other. Appends of one stream that come with one
    member follow each other, and the function knows it.
    """

    members: list[Waiting] = field(default_factory=list)
    appends: int = 0
    _written: set[str] = field(default_factory=set)
    _read: set[str] = field(default_factory=set)
    _names: set[str] = field(default_factory=set)
    _requests: set[bytes] = field(default_factory=set)

    def takes(self, waiting: Waiting) -> bool:
        """Adds the appends if they may share the transaction, and says whether it did."""
        if not (
            self._written.isdisjoint(waiting.written)
            and self._written.isdisjoint(waiting.read)
            and self._read.isdisjoint(waiting.written)
            and self._names.isdisjoint(waiting.names)
            and self._requests.isdisjoint(waiting.requests)
        ):
            return False
        self.members.append(waiting)
        self.appends += len(waiting.appends)
        self._written |= waiting.written
        self._read |= waiting.read
        self._names |= waiting.names
        self._requests |= waiting.requests
        return True


class AppendQueue:
    """Bounded, in two classes: standing and reports go before everything else."""

    def __init__(self, waiting_max: int, batch_max: int, batch_bytes_max: int = 8 * 1024 * 1024) -> None:
        self._waiting_max = waiting_max
        self._batch_max = batch_max
        self._batch_bytes_max = batch_bytes_max
        self._urgent: deque[Waiting] = deque()
        self._ordinary: deque[Waiting] = deque()
        self._length = 0
        self._under_way = 0
        self._sent = 0  # appends under way
        self._company = 0  # how many were under way or waited when a batch was last answered
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        """Returns how many appends wait."""
        return self._length

    def put(self, waiting: Waiting) -> None:
        """Takes at most a batch of appends. Raises Overloaded when they do not all fit."""
        if self._length + len(waiting.appends) > self._waiting_max:
            raise Overloaded
        (self._urgent if waiting.urgent else self._ordinary).append(waiting)
        self._length += len(waiting.appends)
        self._changed.set()

    async def take(self, now: float) -> list[Waiting]:
        """Waits for appends and returns those that go first together; `finished` must follow, whatever became of them.
        While a batch is on its way another goes only when it is half full, since small ones would cost more than they
        save, or when one is urgent. `now` is replaced by each wait's end.
        """
        while not self._urgent and len(self) < (self._batch_max // 2 if self._under_way else 1):
            self._changed.clear()
            await self._changed.wait()
        self._under_way += 1
        if self._under_way == 1:
            await self._gather()
        batch = Batch()
        now = max(now, asyncio.get_running_loop().time())
        room = self._fill(batch, self._urgent, self._batch_bytes_max, now)
        self._fill(batch, self._ordinary, room, now)
        self._sent += batch.appends
        return batch.members

    async def _gather(self) -> None:
        """Waits for company: a batch costs as much as many appends in it.

        Those that each turn of the loop brings go along; a lone caller waits for one turn, some microseconds. Of the
        callers who were there when a batch was last answered half go, the other half decides meanwhile; a quarter of
        a batch is company enough, and an urgent one waits for none.
        """
        seen = 0
        while seen < len(self) < self._batch_max:
            seen = len(self)
            await asyncio.sleep(0)
        wanted = min(self._company // 2, self._batch_max // 4)
        if not self._urgent and len(self) < wanted:
            with suppress(TimeoutError):
                async with asyncio.timeout(GATHER_SECONDS):
                    while not self._urgent and len(self) < wanted:
                        self._changed.clear()
                        await self._changed.wait()

    def finished(self, appends: int) -> None:
        """A batch of so many appends is no longer on its way."""
        self._under_way -= 1
        self._company = self._sent + len(self)
        self._sent -= appends
        self._changed.set()

    def take_all(self) -> list[Waiting]:
        """Returns everyone who waits; the queue is empty then."""
        waiting = [*self._urgent, *self._ordinary]
        self._urgent.clear()
        self._ordinary.clear()
        self._length = 0
        return waiting

    def _fill(self, batch: Batch, queue: deque[Waiting], room: int, now: float) -> int:
        # A look past what cannot go now is bounded, or a long queue for one stream would cost its length every time.
        passed_over: list[Waiting] = []
        for waiting in list(islice(queue, 2 * self._batch_max)):
            if batch.appends + len(waiting.appends) > self._batch_max or room <= 0:
                break
            queue.popleft()
            if waiting.answer.done():
                pass  # The caller went away.
            elif waiting.deadline is not None and waiting.deadline <= now:
                waiting.answer.set_exception(DeadlinePassed())
            elif batch.takes(waiting):
                room -= waiting.bytes
            else:
                passed_over.append(waiting)
                continue
            self._length -= len(waiting.appends)
        queue.extendleft(reversed(passed_over))
        return room
