"""Whether the copies a decision rests on are recent enough: the gates' heartbeat."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

import asyncpg

from kernel.clock import Clock
from kernel.consumers.parking import parked_keys
from kernel.consumers.watermarks import freshness
from kernel.store.connections import LOST, connect

ASKED_AGAIN_SECONDS = 1.0


class LaneMetrics(Protocol):
    def lane_age_seconds(self, lane: str, seconds: float) -> None: ...


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a lane. `parked`: the subjects about whom a fact is parked."""

    is_fresh: bool
    parked: frozenset[str]

    def lacks(self, *subjects: str) -> bool:
        """Says whether a fact about one of the subjects is parked: our copy lacks what it says."""
        return not self.parked.isdisjoint(subjects)


class LaneFreshness:
    """Knows how old a lane's copies are, from the watermarks its consumer has reached, asked at most once a second."""

    def __init__(
        self,
        database_url: str,
        service: str,
        consumer: str,
        clock: Clock,
        metrics: LaneMetrics,
        *,
        stale_after: timedelta,
    ) -> None:
        self._database_url = database_url
        self._service = service
        self._consumer = consumer
        self._clock = clock
        self._metrics = metrics
        self._stale_after = stale_after
        self._connection: asyncpg.Connection | None = None
        self._turn = asyncio.Lock()
        self._asked_at: float | None = None
        self._known = Known(is_fresh=False, parked=frozenset())

    async def is_fresh(self) -> bool:
        """False while nothing is known, and when the database does not say."""
        return (await self.known()).is_fresh

    async def known(self) -> Known:
        """Returns what is known of the lane now."""
        now = asyncio.get_running_loop().time()
        if self._asked_at is None or now - self._asked_at >= ASKED_AGAIN_SECONDS:
            async with self._turn:
                if self._asked_at is None or now - self._asked_at >= ASKED_AGAIN_SECONDS:
                    self._known = await self._ask()
                    self._asked_at = asyncio.get_running_loop().time()
        return self._known

    async def _ask(self) -> Known:
        try:
            if self._connection is None or self._connection.is_closed():
                self._connection = await connect(
                    self._database_url, role=f"{self._service}_api", search_path=f"{self._service}, public"
                )
            reached = await freshness(self._connection, self._consumer)
            parked = frozenset(await parked_keys(self._connection, self._consumer))
        except (*LOST, asyncpg.InterfaceError):
            self._connection = None
            return Known(False, self._known.parked)
        if reached is None:
            return Known(False, parked)
        age = self._clock.now() - reached
        self._metrics.lane_age_seconds(self._consumer, age.total_seconds())
        return Known(age <= self._stale_after, parked)
