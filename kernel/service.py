"""What every service is made of, constructed from its settings. A service's wiring.py adds what is its own."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import asyncpg
from google.protobuf.message import Message

from kernel.background import TIMERS_SECONDS, AtMostEvery, Following, Projecting, Steps
from kernel.commands import CommandPath
from kernel.consumers.consumer import Consumer, ConsumerSettings
from kernel.consumers.limits import ConsumerLimits
from kernel.errors import StoreUnavailable
from kernel.facts import FactTypes
from kernel.foreign import OnForeign, bind
from kernel.freshness import GateWatch, LaneWatch, NoLane
from kernel.grpc.paging import Pages
from kernel.grpc.reads import Reads
from kernel.grpc.server import Server, Service
from kernel.ids import Ids, RandomIds
from kernel.metrics import Metrics
from kernel.migrate import migrate
from kernel.process import MIGRATE, Role
from kernel.queries import Queries
from kernel.reactions import Effects, OnOwn, OwnReactions
from kernel.read_model import ReadModel
from kernel.relay.relay import Relay, RelaySettings
from kernel.relay.source import read_source
from kernel.routes import Command, Route
from kernel.settings import ServiceSettings
from kernel.store.connections import close, connect, unavailable
from kernel.store.interface import TimerDue
from kernel.store.postgres import PostgresStore
from kernel.timers import Timers
from kernel.voiding import Voiding
from kernel.watched_clock import GatesInTime, WatchedClock

# Facts that no gate waits for let a lane that was woken with them go first, and wait for each other: a fetch costs more
# than a fact.
OUTSIDE_LANES = ConsumerLimits(give_way_seconds=0.02, gather_seconds=0.05)


VOIDING_SECONDS = 1.0  # between two looks for a restored source


@dataclass(frozen=True, slots=True)
class Definition:
    """What a service is, apart from its settings."""

    name: str
    routes: Sequence[Route]
    own_facts: FactTypes
    foreign_facts: FactTypes
    read_model: ReadModel
    queries: Path
    migrations: Path | None = None
    gates_consumer: str = ""  # the lane that copies this service's gates, if it has any


@dataclass(frozen=True, slots=True)
class ForeignFacts:
    """One consumer: a lane of its own, or everything else. Facts in neither list halt it."""

    consumer: str
    reactions: Sequence[OnForeign]
    ignores: Sequence[type[Message]] = ()
    lane: bool = False  # a gate waits for these facts: none waits for another


@dataclass(frozen=True, slots=True)
class Work:
    """What a service does beside its read model and its relay."""

    api: Sequence[Service]
    own_reactions: Sequence[OnOwn] = ()
    timers: Mapping[str, Callable[[TimerDue, datetime], Command]] = field(default_factory=dict)
    foreign: Sequence[ForeignFacts] = ()


class Parts:
    """The open store of a process and what stands on it. Made by `open_parts`."""

    def __init__(self, definition: Definition, settings: ServiceSettings, metrics: Metrics, source: str) -> None:
        self._definition = definition
        self._settings = settings
        self._metrics = metrics
        self.ids: Ids = RandomIds()
        url = settings.database_url.get_secret_value()
        self._url = url
        self.store = PostgresStore(
            url,
            definition.name,
            metrics,
            waiting_max=settings.appender_queue_max,
            batch_max=settings.append_batch_max,
        )
        self.clock = WatchedClock(self.store.time, metrics)
        self.path = CommandPath(
            definition.name,
            self.store,
            definition.own_facts,
            definition.routes,
            self.ids,
            metrics,
            GatesInTime(self._gates(), self.clock),
            attempts_max=settings.attempts_max,
        )
        self.queries = Queries(url, definition.name, definition.queries)
        self.reads = Reads(source, self.queries)
        self.pages = Pages(settings.page_key)

    async def open(self) -> None:
        """Raises StoreUnavailable."""
        await self.store.open()
        try:
            await self.clock.compare()
            await self.queries.open()
        except StoreUnavailable:
            await self.store.close()
            raise

    def _gates(self) -> GateWatch:
        if not self._definition.gates_consumer:
            return NoLane()
        stale_after = timedelta(seconds=self._settings.gate_stale_seconds)
        name, consumer = self._definition.name, self._definition.gates_consumer
        return LaneWatch(self._url, name, consumer, self._metrics, stale_after=stale_after)

    def roles(self, asked: Collection[str], work: Work) -> list[Role]:
        """Returns what runs in the roles asked for."""
        roles: list[Role] = []
        if "api" in asked:
            roles.append(self._server(work.api))
        # Gates wait for lanes: in a process of their own they wait for no other work.
        if "lanes" in asked:
            roles += [self._consumer(foreign) for foreign in work.foreign if foreign.lane]
        if "reactions" in asked:
            roles.append(self._following(work))
            roles += [self._consumer(foreign) for foreign in work.foreign if not foreign.lane]
        if "projections" in asked:
            model, types = self._definition.read_model, self._definition.own_facts
            roles.append(Projecting(self._url, self._definition.name, model, types, self._metrics))
        if "relay" in asked:
            relay = RelaySettings(self._url, self._settings.kafka, self._definition.name, self._settings.cell)
            roles.append(Relay(relay, self._definition.own_facts, self._metrics))
        return [self.clock, *roles] if roles else []

    def _effects(self) -> Effects:
        """Of each reader its own: a lane must not wait for room that other facts take."""
        return Effects(self._definition.name, self.path, self._metrics)

    def _server(self, api: Sequence[Service]) -> Server:
        return Server(
            api,
            self._settings,
            self._metrics,
            clock=self.clock,
            ids=self.ids,
            reach_store=self.store.head,
            check=self.clock.check,
        )

    def _following(self, work: Work) -> Following:
        types = self._definition.own_facts

        def steps() -> list[Steps]:
            timers = Timers(self.store, self.path, work.timers, self.clock, self._metrics)
            steps: list[Steps] = [
                OwnReactions(self.store, types, work.own_reactions, self._effects(), self.clock),
                AtMostEvery(timers, TIMERS_SECONDS),
            ]
            if self._definition.gates_consumer:
                steps.append(AtMostEvery(self._voiding(), VOIDING_SECONDS))
            return steps

        return Following(self._url, self._definition.name, self.store, steps, self.clock.check)

    def _voiding(self) -> Voiding:
        name, consumer = self._definition.name, self._definition.gates_consumer
        foreign = self._definition.foreign_facts
        return Voiding(self._url, name, consumer, foreign, self.store, self.path, self.clock)

    def _consumer(self, foreign: ForeignFacts) -> Consumer:
        settings = ConsumerSettings(self._url, self._settings.kafka, self._definition.name, self._settings.cell)
        entries = bind(foreign.consumer, foreign.reactions, self._effects(), self.clock, self._metrics)
        types = self._definition.foreign_facts
        limits = None if foreign.lane else OUTSIDE_LANES
        return Consumer(
            foreign.consumer, settings, types, entries, foreign.ignores, self._metrics, self.clock, limits=limits
        )


class Migrating:
    """The role that brings the schema up to this release, and ends."""

    name = MIGRATE

    def __init__(self, definition: Definition, settings: ServiceSettings) -> None:
        self._definition = definition
        self._settings = settings

    async def run(self) -> None:
        url = self._settings.database_url.get_secret_value()
        for applied in await migrate(url, self._definition.name, self._definition.migrations):
            print(f"applied {applied}")

    async def stop(self) -> None:
        """A migration is one transaction: it ends by itself."""


async def open_parts(definition: Definition, settings: ServiceSettings, metrics: Metrics) -> Parts:
    """Raises StoreUnavailable when the database does not answer, or has not been migrated yet."""
    url = settings.database_url.get_secret_value()
    try:
        with unavailable():
            connection = await connect(url, role=f"{definition.name}_api", search_path=f"{definition.name}, public")
            try:
                source = str(await read_source(connection, definition.name, settings.cell))
            finally:
                await close(connection)
    except asyncpg.UndefinedTableError:
        raise StoreUnavailable(f"schema {definition.name} is not migrated: run the role {MIGRATE}") from None
    parts = Parts(definition, settings, metrics, source)
    await parts.open()
    return parts
