"""Which waiting appends may share a transaction."""

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice

from kernel.errors import DeadlinePassed, Overloaded
from kernel.store.interface import Append, Appended, NameClaim, Outcome

GATHER_SECONDS = 0.002  # at most, about what a commit takes


@dataclass(slots=True, eq=False)
class Waiting:
    append: Append
    answer: asyncio.Future[Appended]
    after: "Waiting | None" = None  # of the same stream; this one goes right behind it, or not at all
    together: int = 1  # of the first: how many go one behind the other, itself and those after it

    @property
    def is_cut_off(self) -> bool:
        """Whether the one it goes behind was sent and not appended."""
        if self.after is None:
            return False
        answer = self.after.answer
        return answer.cancelled() or answer.exception() is not None or answer.result().outcome is not Outcome.APPENDED

    @property
    def bytes(self) -> int:
        return sum(map(len, self.append.facts)) + sum([len(one.content) for one in self.append.attachments])


@dataclass(slots=True)
class Batch:
    """At most one append per stream, claimed name and request, and never an append to a stream together with one that
    depends on it: in one statement neither would see the other. Appends of a stream that go one behind the other are
    one, as it were: the function knows them.
    """

    members: list[Waiting] = field(default_factory=list)
    _written: set[str] = field(default_factory=set)
    _read: set[str] = field(default_factory=set)
    _names: set[str] = field(default_factory=set)
    _requests: set[bytes] = field(default_factory=set)

    def takes(self, waiting: Waiting) -> bool:
        """Adds the append if it may share the transaction, and says whether it did."""
        append = waiting.append
        if append.request.key in self._requests:
            return False
        if waiting.after is not None and self.members and self.members[-1] is waiting.after:
            self.members.append(waiting)
            self._read.update(append.depends_on)
            self._requests.add(append.request.key)
            return True
        names = [claim.name for claim in append.claims if isinstance(claim, NameClaim)] if append.claims else []
        if (
            append.stream in self._written
            or append.stream in self._read
            or not self._written.isdisjoint(append.depends_on)
            or not self._names.isdisjoint(names)
        ):
            return False
        self.members.append(waiting)
        self._written.add(append.stream)
        self._read.update(append.depends_on)
        self._names.update(names)
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
        self._under_way = 0
        self._sent = 0  # appends under way
        self._company = 0  # how many were under way or waited when a batch was last answered
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._urgent) + len(self._ordinary)

    def put(self, waiting: Waiting) -> None:
        """Raises Overloaded when the queue is full."""
        if len(self) >= self._waiting_max:
            raise Overloaded
        self._add(waiting)

    def put_all(self, appends: Sequence[Append]) -> list[asyncio.Future[Appended]]:
        """Takes at most a batch of appends, as `EventStore.append_all` does. What comes after a refused one of its
        stream is STALE. Raises Overloaded when they do not all fit.
        """
        if len(self) + len(appends) > self._waiting_max:
            raise Overloaded
        loop = asyncio.get_running_loop()
        first: Waiting | None = None  # of those of one stream
        before: Waiting | None = None
        answers = []
        for append in appends:
            if first is None or before is None or first.append.stream != append.stream:
                first = before = Waiting(append, loop.create_future())
            else:
                first.together += 1
                before = Waiting(append, loop.create_future(), before)
            self._add(before)
            answers.append(before.answer)
        return answers

    def _add(self, waiting: Waiting) -> None:
        (self._urgent if waiting.append.urgent else self._ordinary).append(waiting)
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
        self._sent += len(batch.members)
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
        return waiting

    def _fill(self, batch: Batch, queue: deque[Waiting], room: int, now: float) -> int:
        # A look past what cannot go now is bounded, or a long queue for one stream would cost its length every time.
        passed_over: list[Waiting] = []
        for waiting in list(islice(queue, 2 * self._batch_max)):
            if len(batch.members) >= self._batch_max or room <= 0:
                break
            if waiting.after is None and batch.members and len(batch.members) + waiting.together > self._batch_max:
                break  # Those that go one behind the other go together.
            queue.popleft()
            if waiting.answer.done():
                continue  # The caller went away.
            deadline = waiting.append.deadline
            if deadline is not None and deadline <= now:
                waiting.answer.set_exception(DeadlinePassed())
            elif waiting.after is not None and passed_over[-1:] == [waiting.after]:
                passed_over.append(waiting)
            elif waiting.after is not None and batch.members[-1:] != [waiting.after]:
                waiting.answer.set_result(Appended(Outcome.STALE, waiting.append.stream))
            elif batch.takes(waiting):
                room -= waiting.bytes
            else:
                passed_over.append(waiting)
        queue.extendleft(reversed(passed_over))
        return room
