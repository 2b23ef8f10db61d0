"""What is known of the copies a decision rests on: whether they are recent enough, and which subjects they lack."""

import asyncio
from datetime import timedelta
from math import nan
from typing import NamedTuple, Protocol

import asyncpg

from kernel.consumers.parking import parked_keys
from kernel.consumers.watermarks import freshness_age
from kernel.store.connections import connect, is_away

ASKED_AGAIN_SECONDS = 1.0


class LaneStatus(NamedTuple):
    """What is known of a service's gates. `parked`: the subjects about whom a fact is parked."""

    is_fresh: bool
    parked: frozenset[str] = frozenset()


WHOLE = LaneStatus(is_fresh=True)
UNKNOWN = LaneStatus(is_fresh=False)


class GateWatch(Protocol):
    """Knows the status of a service's gates."""

    async def look(self) -> LaneStatus:
        """Returns what is known now. Never raises: what cannot be asked is stale."""
        ...


class NoLane:
    """Of a service without gates."""

    async def look(self) -> LaneStatus:
        return WHOLE


class LaneMetrics(Protocol):
    def lane_age_seconds(self, lane: str, seconds: float) -> None:
        """Not a number while it is not known."""


class LaneWatch:
    """Asks how old a lane's copies are, and what is parked there, at most once a second.

    Ages are told by the database, so the clock of this process does not matter.
    """

    def __init__(
        self, database_url: str, service: str, consumer: str, metrics: LaneMetrics, *, stale_after: timedelta
    ) -> None:
        self._database_url = database_url
        self._service = service
        self._consumer = consumer
        self._metrics = metrics
        self._stale_after = stale_after
        self._connection: asyncpg.Connection | None = None
        self._turn = asyncio.Lock()
        self._asked_at: float | None = None
        self._status = UNKNOWN

    async def look(self) -> LaneStatus:
        now = asyncio.get_running_loop().time()
        if self._asked_at is None or now - self._asked_at >= ASKED_AGAIN_SECONDS:
            async with self._turn:
                if self._asked_at is None or now - self._asked_at >= ASKED_AGAIN_SECONDS:
                    self._status = await self._ask()
                    self._asked_at = asyncio.get_running_loop().time()
        return self._status

    async def _ask(self) -> LaneStatus:
        try:
            if self._connection is None or self._connection.is_closed():
                self._connection = await connect(
                    self._database_url, role=f"{self._service}_api", search_path=f"{self._service}, public"
                )
            parked = frozenset(await parked_keys(self._connection, self._consumer))
            age = await freshness_age(self._connection, self._consumer)
        except Exception as error:
            if not is_away(error):
                raise
            if self._connection is not None:
                self._connection.terminate()
                self._connection = None
            self._metrics.lane_age_seconds(self._consumer, nan)
            return LaneStatus(False, self._status.parked)
        if age is None:
            self._metrics.lane_age_seconds(self._consumer, nan)
            return LaneStatus(False, parked)
        self._metrics.lane_age_seconds(self._consumer, age.total_seconds())
        return LaneStatus(age <= self._stale_after, parked)
