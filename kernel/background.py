"""The roles that follow our own store: reactions with timers, and the projection."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

import asyncpg

from kernel.facts import FactTypes
from kernel.lease import lease
from kernel.read_model import PAGE_FACTS_MAX, ReadModel, project
from kernel.rebuild import ensure, reader
from kernel.store.connections import close
from kernel.store.interface import EventStore
from kernel.tasks import happens, until_stopped

FORGET_SECONDS = 3_600.0  # how often it is looked whether a period of requests is over
POLL_SECONDS = 0.25  # the net under a lost notification, and how late a timer may be
# From being told of facts to the look at them. The relay wakes by the same commit, and by it lanes of other services: a
# report is enforced there before anything is done with it here. And a look costs more than a fact.
GIVE_WAY_SECONDS = 0.01
TIMERS_SECONDS = 0.05  # between two looks at the timers, however often facts come
RENEW_SECONDS = 1.0
STOP_SECONDS = 1.0  # after which what is under way is cut off: a server that hangs would keep it for longer


class Steps(Protocol):
    async def step(self) -> bool:
        """Does a bounded piece of work. Returns whether there may be more to do at once."""
        ...


class AtMostEvery:
    """Steps with a pause after each that found nothing to do."""

    def __init__(self, steps: Steps, seconds: float) -> None:
        self._steps = steps
        self._seconds = seconds
        self._again_at = 0.0

    async def step(self) -> bool:
        now = asyncio.get_running_loop().time()
        if now < self._again_at:
            return False
        worked = await self._steps.step()
        if not worked:
            self._again_at = now + self._seconds
        return worked


class Following:
    """Reactions to our own facts and timers, in one process of the service at a time.

    A process whose lease is gone notices within a second; what it does beside the next one has no second effect.
    """

    name = "reactions"

    def __init__(
        self,
        database_url: str,
        service: str,
        store: EventStore,
        steps: Callable[[], Sequence[Steps]],
        check: Callable[[], None] = lambda: None,
    ) -> None:
        """`steps` makes them anew for each lease: what they remember may be out of date by the next. `check` raises
        what keeps this process from working; another may then.
        """
        self._database_url = database_url
        self._service = service
        self._store = store
        self._steps = steps
        self._check = check
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Raises LeaseLost or StoreUnavailable when the store is gone; started again, it goes on where it was."""
        await until_stopped(self._run(), self._stopping, STOP_SECONDS)

    async def _run(self) -> None:
        now = asyncio.get_running_loop().time
        forget_at = renew_at = now()
        self._check()
        async with lease(self._database_url, self._service, self.name) as held:
            all_steps = self._steps()
            while not self._stopping.is_set():
                self._check()
                if now() >= renew_at:
                    await held.renew()
                    renew_at = now() + RENEW_SECONDS
                if now() >= forget_at:
                    await self._store.forget_old_requests()
                    forget_at = now() + FORGET_SECONDS
                worked = [await steps.step() for steps in all_steps]
                if not any(worked):
                    await self._store.wait_for_append(POLL_SECONDS)
                    await asyncio.sleep(GIVE_WAY_SECONDS)

    async def stop(self) -> None:
        self._stopping.set()


class ProjectionMetrics(Protocol):
    def projection_lag(self, projection: str, positions: int) -> None:
        """How many positions the store's head is above the read model."""


class Projecting:
    """Keeps the read model up with the store. Any number may run: the checkpoint's row lets one work at a time."""

    name = "projections"

    def __init__(
        self, database_url: str, service: str, model: ReadModel, fact_types: FactTypes, metrics: ProjectionMetrics
    ) -> None:
        self._database_url = database_url
        self._service = service
        self._model = model
        self._fact_types = fact_types
        self._metrics = metrics
        self._stopping = asyncio.Event()
        self._appended = asyncio.Event()

    async def run(self) -> None:
        """Raises one of LOST when the database is gone, UnknownFactType or UnlistedFact for a fact it must not pass."""
        await until_stopped(self._run(), self._stopping, STOP_SECONDS)

    async def _run(self) -> None:
        await ensure(self._database_url, self._service, self._model, self._fact_types)
        connection = await reader(self._database_url, self._service, f"{self._service}_read")
        try:
            # What a crash forgets of a read model is projected again: its commits need not wait for the disk.
            await connection.execute("set synchronous_commit = off")
            await connection.add_listener(f"{self._service}_facts", lambda *_: self._appended.set())
            while not self._stopping.is_set():
                if await self._project(connection) < PAGE_FACTS_MAX:
                    await self._wait()
                    await asyncio.sleep(GIVE_WAY_SECONDS)
        finally:
            await close(connection)

    async def stop(self) -> None:
        self._stopping.set()
        self._appended.set()

    async def _project(self, connection: asyncpg.Connection) -> int:
        facts = await project(connection, self._model, self._fact_types)
        lag = 0
        if facts == PAGE_FACTS_MAX:  # Only then can there be more.
            lag = await connection.fetchval(
                "select coalesce((select max(position) from facts), 0) - position from read_model_checkpoint"
            )
        self._metrics.projection_lag(self._service, lag)
        return facts

    async def _wait(self) -> None:
        await happens(self._appended, POLL_SECONDS)
        self._appended.clear()
