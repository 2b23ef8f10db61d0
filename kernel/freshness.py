"""Whether the copies a decision rests on are recent enough: the gates' heartbeat."""

import asyncio
from datetime import timedelta
from typing import Protocol

import asyncpg

from kernel.clock import Clock
from kernel.consumers.parking import parked_keys
from kernel.consumers.watermarks import freshness
from kernel.errors import Rejected
from kernel.store.connections import LOST, connect

ASKED_AGAIN_SECONDS = 1.0


class LaneMetrics(Protocol):
    def lane_age_seconds(self, lane: str, seconds: float) -> None: ...


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
        self._fresh = False
        self._parked: frozenset[str] = frozenset()

    async def is_fresh(self) -> bool:
        """False while nothing is known, and when the database does not say."""
        await self._know()
        return self._fresh

    async def check(self, *subjects: str) -> None:
        """Raises Rejected GATE_STALE when a fact about one of the subjects is parked: our copy lacks what it says."""
        await self._know()
        if not self._parked.isdisjoint(subjects):
            raise Rejected("GATE_STALE")

    async def _know(self) -> None:
        now = asyncio.get_running_loop().time()
        if self._asked_at is None or now - self._asked_at >= ASKED_AGAIN_SECONDS:
            async with self._turn:
                if self._asked_at is None or now - self._asked_at >= ASKED_AGAIN_SECONDS:
                    self._fresh = await self._ask()
                    self._asked_at = asyncio.get_running_loop().time()

    async def _ask(self) -> bool:
        try:
            if self._connection is None or self._connection.is_closed():
                self._connection = await connect(
                    self._database_url, role=f"{self._service}_api", search_path=f"{self._service}, public"
                )
            reached = await freshness(self._connection, self._consumer)
            self._parked = frozenset(await parked_keys(self._connection, self._consumer))
        except (*LOST, asyncpg.InterfaceError):
            self._connection = None
            return False
        if reached is None:
            return False
        age = self._clock.now() - reached
        self._metrics.lane_age_seconds(self._consumer, age.total_seconds())
        return age <= self._stale_after
