"""What follows from our own facts and from time happens once in effect, whenever the process that does it dies."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from holdspace.kernel.v1 import gate_pb2
from holdspace.kernel.v1.gate_pb2 import GateCopied
from kernel.clock import ManualClock, SystemClock
from kernel.commands import CommandPath
from kernel.decision import Decision
from kernel.errors import Rejected, StoreUnavailable
from kernel.facts import FactTypes, Origin, open_envelope
from kernel.folded import Fold
from kernel.freshness import NoLane
from kernel.ids import RandomIds
from kernel.own_facts import OwnFact
from kernel.reactions import Effects, OnOwn, OwnReactions
from kernel.requests import reaction_request
from kernel.routes import Command, Route
from kernel.store.interface import EventStore, Recorded, Timer
from kernel.store.memory import MemoryStore
from kernel.store.postgres import PostgresStore
from kernel.timers import Timers

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
TYPES = FactTypes(gate_pb2)
TAKEN_TIMERS_ARE_FREE_AGAIN = "update messaging.timers set taken_until = '-infinity'"


@dataclass(frozen=True, slots=True)
class Write:
    """A fact on a stream, and what is to happen later."""

    stream: str
    now: datetime
    due_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Follow:
    """What follows from it, once."""

    stream: str
    now: datetime


def write(command: Write, count: int) -> Decision:
    timers = [Timer("follow", command.due_at)] if command.due_at else []
    return Decision([GateCopied(gate="written", subject=command.stream, source_version=count + 1)], timers=timers)


def follow(command: Follow, count: int) -> Decision:
    if command.stream == "refused":
        raise Rejected("REFUSED")
    return Decision([GateCopied(gate="followed", subject=command.stream, source_version=count + 1)])


COUNT: Fold[int] = Fold(0, lambda count, fact, at: count + 1)
ROUTES = [
    Route(Write, lambda command: command.stream, COUNT, write),
    Route(Follow, lambda command: command.stream, COUNT, follow),
]


@dataclass
class Counted:
    """What the parts reported."""

    rejected: list[tuple[str, str]] = field(default_factory=list)
    fired: list[str] = field(default_factory=list)

    def decided_again(self, command: str) -> None: ...

    def repeated(self, command: str) -> None: ...

    def appended(self, outcome: str, count: int) -> None: ...

    def batch(self, appends: int, waiting: int) -> None: ...

    def effect_rejected(self, reaction: str, reason: str) -> None:
        self.rejected.append((reaction, reason))

    def timer_fired(self, name: str) -> None:
        self.fired.append(name)


class Dying:
    """The store as a process sees it that dies at the first call of one kind."""

    def __init__(self, store: EventStore, call: str) -> None:
        self._store = store
        self._call = call

    def __getattr__(self, name: str) -> object:
        if name == self._call:
            return self._die
        return getattr(self._store, name)

    async def _die(self, *_: object) -> None:
        raise StoreUnavailable("the process died")


class Process:
    """One process's reactions and timers. Another one on the same store is the same service, started again."""

    def __init__(self, store: EventStore, clock: ManualClock, reactions: Sequence[OnOwn] = ()) -> None:
        self.counted = Counted()
        self.path = CommandPath("test", store, TYPES, ROUTES, RandomIds(), self.counted, NoLane())
        effects = Effects("test", self.path, self.counted)
        self.reactions = OwnReactions(store, TYPES, reactions, effects, clock)
        commands = {"follow": lambda timer, now: Follow(timer.stream, now)}
        self.timers = Timers(store, self.path, commands, clock, self.counted)

    async def write(self, stream: str, due_at: datetime | None = None, origin: Origin | None = None) -> None:
        await self.path.run(Write(stream, NOON, due_at), reaction_request("test", stream), origin)


@pytest.fixture
async def postgres_store(database_url: str) -> AsyncIterator[PostgresStore]:
    opened = PostgresStore(database_url, "messaging", Counted())
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture(params=["memory", "postgres"])
def store(request: pytest.FixtureRequest) -> EventStore:
    if request.param == "memory":
        return MemoryStore(SystemClock())
    opened: PostgresStore = request.getfixturevalue("postgres_store")
    return opened


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOON)


async def on_another_stream(fact: OwnFact, now: datetime) -> Sequence[Command]:
    return [Follow(f"after-{fact.stream}", now)] if fact.payload.gate == "written" else []


FOLLOW = OnOwn("follow", GateCopied, on_another_stream)


async def followed(store: EventStore) -> list[str]:
    """Returns the streams of what followed, in the order it did."""
    facts = [(recorded, payload(recorded)) for recorded in await store.read_all(0, 1_000)]
    return [recorded.stream for recorded, fact in facts if fact.gate == "followed"]


def payload(recorded: Recorded) -> GateCopied:
    return GateCopied.FromString(open_envelope(recorded.fact).payload)


# Reactions to our own facts.


async def test_each_fact_has_its_effect_once(store: EventStore, clock: ManualClock) -> None:
    process = Process(store, clock, [FOLLOW])
    for stream in ("a", "b", "c"):
        await process.write(stream)
    while await process.reactions.step():
        pass
    assert await followed(store) == ["after-a", "after-b", "after-c"]
    assert not await process.reactions.step()


@pytest.mark.rule("PL1")
@pytest.mark.parametrize("dies_at", ["save_checkpoint", "append"])
async def test_a_reader_that_dies_before_its_checkpoint_repeats_and_doubles_nothing(
    store: EventStore, clock: ManualClock, dies_at: str
) -> None:
    await Process(store, clock).write("a")
    await Process(store, clock).write("b")
    dying = Process(Dying(store, dies_at), clock, [FOLLOW])  # type: ignore[arg-type]
    for _ in range(3):
        with pytest.raises((StoreUnavailable, ExceptionGroup)):
            await dying.reactions.step()
    assert await followed(store) == (["after-a", "after-b"] if dies_at == "save_checkpoint" else [])
    while await Process(store, clock, [FOLLOW]).reactions.step():
        pass
    assert await followed(store) == ["after-a", "after-b"]


async def test_what_is_left_to_do_after_a_death_is_done_though_it_is_less_than_before(
    store: EventStore, clock: ManualClock
) -> None:
    open_work = ["x", "y", "z"]

    async def close_the_open_ones(fact: OwnFact, now: datetime) -> Sequence[Command]:
        done = await followed(store)
        return [Follow(stream, now) for stream in open_work if stream not in done and fact.payload.gate == "written"]

    async def die_after_the_first(fact: OwnFact, now: datetime) -> Sequence[Command]:
        return (await close_the_open_ones(fact, now))[:1]

    await Process(store, clock).write("a")
    dying = Process(Dying(store, "save_checkpoint"), clock, [OnOwn("close", GateCopied, die_after_the_first)])  # type: ignore[arg-type]
    with pytest.raises(StoreUnavailable):
        await dying.reactions.step()
    assert await followed(store) == ["x"]
    assert await Process(store, clock, [OnOwn("close", GateCopied, close_the_open_ones)]).reactions.step()
    assert sorted(await followed(store)) == open_work


async def test_two_commands_of_one_fact_on_one_stream_both_have_their_effect(
    store: EventStore, clock: ManualClock
) -> None:
    async def twice(fact: OwnFact, now: datetime) -> Sequence[Command]:
        return [Follow("x", now), Follow("x", now)] if fact.payload.gate == "written" else []

    process = Process(store, clock, [OnOwn("twice", GateCopied, twice)])
    await process.write("a")
    await process.reactions.step()
    assert await followed(store) == ["x", "x"]


@pytest.mark.rule("PL6")
async def test_imported_facts_have_no_effects_unless_a_reaction_asks_for_them(
    store: EventStore, clock: ManualClock
) -> None:
    asking = OnOwn("asking", GateCopied, on_another_stream, imported=True)
    await Process(store, clock).write("old", origin=Origin("test", imported_from="elsewhere"))
    await Process(store, clock, [FOLLOW]).reactions.step()
    assert await followed(store) == []
    assert await store.checkpoint("own-reactions") == 1
    await store.save_checkpoint("own-reactions", 0)
    await Process(store, clock, [asking]).reactions.step()
    assert await followed(store) == ["after-old"]
    last = open_envelope((await store.read_all(0, 10))[-1].fact)
    assert last.imported_from == "elsewhere"  # what follows from history is history


async def test_an_effect_that_a_rule_refuses_is_counted_and_passed(store: EventStore, clock: ManualClock) -> None:
    async def refused(fact: OwnFact, now: datetime) -> Sequence[Command]:
        return [Follow("refused", now), Follow("allowed", now)] if fact.payload.gate == "written" else []

    process = Process(store, clock, [OnOwn("refusing", GateCopied, refused)])
    await process.write("a")
    await process.reactions.step()
    assert await followed(store) == ["allowed"]
    assert process.counted.rejected == [("own-reactions/refusing", "REFUSED")]


# Timers.


async def test_a_timer_fires_once_when_business_time_has_come(store: EventStore, clock: ManualClock) -> None:
    process = Process(store, clock)
    await process.write("soon", due_at=NOON + HOUR)
    await process.write("later", due_at=NOON + 2 * HOUR)
    assert not await process.timers.step()
    clock.advance(HOUR)
    assert await process.timers.step()
    assert not await process.timers.step()
    clock.advance(HOUR)
    assert await process.timers.step()
    assert await followed(store) == ["soon", "later"]
    assert process.counted.fired == ["follow", "follow"]


@pytest.mark.parametrize("dies_at", ["finish_timer", "append"])
async def test_a_timer_survives_the_death_of_its_process_and_has_its_effect_once(
    store: EventStore, clock: ManualClock, request: pytest.FixtureRequest, dies_at: str
) -> None:
    await Process(store, clock).write("a", due_at=NOON)
    with pytest.raises((StoreUnavailable, ExceptionGroup)):
        await Process(Dying(store, dies_at), clock).timers.step()  # type: ignore[arg-type]
    assert await followed(store) == (["a"] if dies_at == "finish_timer" else [])
    if isinstance(store, PostgresStore):
        assert not await Process(store, clock).timers.step()  # Another process leaves what was taken half a minute.
        await as_owner(request.getfixturevalue("database_url"), TAKEN_TIMERS_ARE_FREE_AGAIN)
    assert await Process(store, clock).timers.step()
    assert await followed(store) == ["a"]
    assert not await store.take_due_timers(NOON + 1000 * HOUR, 10)


async def test_many_due_timers_fire_once_though_two_processes_take_them(store: EventStore, clock: ManualClock) -> None:
    processes = [Process(store, clock), Process(store, clock)]
    names = {f"s{n}" for n in range(250)}
    await asyncio.gather(*(processes[0].write(name, due_at=NOON) for name in names))
    while any(await asyncio.gather(*(process.timers.step() for process in processes))):
        pass
    done = await followed(store)
    assert (len(done), set(done)) == (250, names)


async def as_owner(database_url: str, sql: str) -> None:
    connection = await asyncpg.connect(database_url, server_settings={"role": "messaging_owner"})
    try:
        await connection.execute(sql)
    finally:
        await connection.close()
