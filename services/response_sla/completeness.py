"""Up to when the figures are complete: what has been heard of, taken, evaluated and projected.

Watermarks say what the consumers have taken. What follows from it in this store is done when the reactions to our own
facts have passed the head it had then, and it shows when the read model has passed the head it had after that.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from kernel.clock import Clock
from kernel.queries import Queries
from kernel.store.interface import EventStore
from kernel.tasks import happens

OWN_REACTIONS = "own-reactions"  # the checkpoint of kernel.reactions
POLL_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Input:
    """How far a consumer has come with a topic and one source; `reached` is None while a partition is not heard of."""

    consumer: str
    topic: str
    source: str
    position: int
    reached: datetime | None


@dataclass(frozen=True, slots=True)
class Complete:
    """`until`: None while nothing can be said. `positions`: by source, of the facts that are in the figures."""

    until: datetime | None = None
    positions: Mapping[str, int] = field(default_factory=dict)


class Completeness:
    """A role beside the api, which answers from what was found last: no call waits for it."""

    name = "completeness"

    def __init__(
        self, queries: Queries, store: EventStore, clock: Clock, consumers: Sequence[str], *, poll_seconds: float
    ) -> None:
        self._queries = queries
        self._store = store
        self._clock = clock
        self._consumers = consumers
        self._poll_seconds = poll_seconds
        self._stopping = asyncio.Event()
        self.complete = Complete()

    def age_seconds(self) -> float:
        until = self.complete.until
        return math.nan if until is None else (self._clock.now() - until).total_seconds()

    async def inputs(self) -> list[Input]:
        """Raises StoreUnavailable."""
        return [Input(*row) for row in await self._queries.rows("inputs", list(self._consumers))]

    async def run(self) -> None:
        """Raises StoreUnavailable when the database is away; what was found stays."""
        while not self._stopping.is_set():
            await self._look()
            await happens(self._stopping, self._poll_seconds)

    async def stop(self) -> None:
        self._stopping.set()

    async def _look(self) -> None:
        found = complete(await self.inputs(), self._consumers)
        await self._passed(self._reacted, await self._store.head())
        await self._passed(self._queries.position, await self._store.head())
        if not self._stopping.is_set():
            self.complete = found

    async def _reacted(self) -> int:
        return await self._store.checkpoint(OWN_REACTIONS) or 0

    async def _passed(self, position: Callable[[], Awaitable[int]], head: int) -> None:
        while not self._stopping.is_set() and await position() < head:
            await happens(self._stopping, POLL_SECONDS)


def complete(inputs: Sequence[Input], consumers: Sequence[str]) -> Complete:
    """Returns the earliest instant reached, None while a consumer, topic or partition has not been heard of."""
    reached = [each.reached for each in inputs if each.reached is not None]
    heard_of_all = len(reached) == len(inputs) and {each.consumer for each in inputs} >= set(consumers)
    positions: dict[str, int] = {}
    for each in inputs:
        if each.reached is not None:
            positions[each.source] = min(each.position, positions.get(each.source, each.position))
    missing = {each.source for each in inputs if each.reached is None}
    known = {source: position for source, position in positions.items() if source not in missing}
    return Complete(min(reached) if heard_of_all and reached else None, known)
