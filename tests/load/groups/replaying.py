"""P7, P8: replay of messaging's facts beside a raw COPY of the same bytes, and what projections make of it."""

import gc
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass

import asyncpg

from holdspace.messaging.v1.events_pb2 import MessageSent
from kernel.read_model import PAGE_FACTS_MAX, create, create_indexes, digest, project
from kernel.rebuild import build, reader
from kernel.replay import POSITIONS_AND_FACTS, pages
from services.messaging.wiring import MESSAGING
from tests.load import history, peer
from tests.load.measuring import Cell, Figure, Goal, Group, Options, Reading
from tests.load.stack import Stack

FACTS = 1_000_000
BUILT_FACTS = 600_000  # the rest is for the live projection
LIVE_FACTS = 40_000
SINGLE_FACTS = 1_500

RAW = "COPY (FORMAT binary) of position and fact, thrown away"
REPLAY = "replay: decode and fold"
REBUILD = "rebuild into empty tables"
LIVE = "live projection"
SINGLE = "the same projection, a transaction per fact"
PEER = f"{peer.NAME}: replay of its own events"
PEER_SCRIPT = "replay_eventsourcing.py"
PEER_EVENTS = 50_000  # it takes minutes to store more; its rate does not depend on how many there are

COPY = "select position, fact from facts order by position"
EMPTY = "drop schema if exists {0} cascade; create schema {0}"
TYPES, MODEL = MESSAGING.own_facts, MESSAGING.read_model
Progress = Callable[[int], None]


class Sequences:
    """The fold: the last message of every conversation. Raises AssertionError where one is missing (MS5)."""

    def __init__(self) -> None:
        self.messages = 0
        self._last: dict[str, int] = {}

    def take(self, facts: Sequence[bytes]) -> None:
        last, messages = self._last, 0
        for _, payload in TYPES.open_all(facts):
            if type(payload) is MessageSent:
                conversation, sequence = payload.conversation_id, payload.sequence
                if sequence != last.get(conversation, 0) + 1:
                    raise AssertionError(f"conversation {conversation} goes on at {sequence}")
                last[conversation] = sequence
                messages += 1
        self.messages += messages


async def replay_and_fold(connection: asyncpg.Connection, facts: int, progress: Progress = lambda _: None) -> int:
    """Replays so many facts from the first and returns how many messages they hold. `progress` hears each position."""
    fold, position = Sequences(), 0
    async with aclosing(pages(connection, POSITIONS_AND_FACTS, 0, facts)) as found:
        async for positions, sealed in found:
            fold.take(sealed)
            position = positions[-1]
            progress(position)
    assert position == facts
    return fold.messages


async def through(connection: asyncpg.Connection, facts: int, progress: Progress) -> None:
    """Replays with a fold that keeps nothing but a count, so that memory shows the replay's own."""
    async with aclosing(pages(connection, POSITIONS_AND_FACTS, 0, facts)) as found:
        async for positions, sealed in found:
            sum(type(payload) is MessageSent for _, payload in TYPES.open_all(sealed))
            progress(positions[-1])


async def timed(facts: int, work: Awaitable[object]) -> Reading:
    gc.collect()  # What another cell left behind is not this one's cost.
    began = time.perf_counter()
    await work
    return {"per_second": facts / (time.perf_counter() - began)}


@dataclass(slots=True)
class Projections:
    """Two read models beside each other: `live` is that of the cells LIVE and SINGLE, which take up where it stands."""

    rows: asyncpg.Connection
    rebuilt: asyncpg.Connection
    facts: asyncpg.Connection
    expected: str = ""

    async def prepare(self) -> None:
        """Projects what rebuilds are compared with, a page at a time."""
        await self.empty(self.rows, "messaging_read")
        position = 0
        while position < BUILT_FACTS:
            position += await project(self.rows, MODEL, TYPES, min(2_000, BUILT_FACTS - position))
        self.expected = await digest(self.rows, "messaging_read")

    async def empty(self, connection: asyncpg.Connection, schema: str, *, with_indexes: bool = True) -> None:
        await connection.execute(EMPTY.format(schema))
        await create(connection, "messaging", MODEL, schema, with_indexes=with_indexes)

    async def rebuild(self) -> Reading:
        await self.empty(self.rebuilt, "messaging_bench", with_indexes=False)
        reading = await timed(BUILT_FACTS, self._rebuild())
        assert await digest(self.rebuilt, "messaging_bench") == self.expected, "the rebuilt rows differ"
        return reading

    async def _rebuild(self) -> None:
        await build(self.rebuilt, self.facts, MODEL, TYPES, 0, BUILT_FACTS)
        await create_indexes(self.rebuilt, MODEL)

    async def live(self, facts: int, at_once: int) -> Reading:
        async def take() -> None:
            for _ in range(0, facts, at_once):
                assert await project(self.rows, MODEL, TYPES, at_once) == at_once, "the store is used up"

        return await timed(facts, take())


@asynccontextmanager
async def open_cells(stack: Stack, options: Options) -> AsyncIterator[Sequence[Cell]]:
    async with stack.database("messaging") as url:
        await history.fill(url, "messaging", history.messages(FACTS))
        connections = [await reader(url, "messaging", f"messaging_{name}") for name in ("read", "bench", "facts")]
        projections = Projections(*connections)
        await projections.prepare()
        facts = projections.facts
        cells = [
            Cell(RAW, lambda: timed(FACTS, facts.copy_from_query(COPY, output=_nowhere, format="binary"))),
            Cell(REPLAY, lambda: timed(FACTS, replay_and_fold(facts, FACTS))),
            Cell(REBUILD, projections.rebuild),
            Cell(LIVE, lambda: projections.live(LIVE_FACTS, PAGE_FACTS_MAX)),
            Cell(SINGLE, lambda: projections.live(SINGLE_FACTS, 1)),
        ]
        if options.peers:
            await peer.install(stack)
            await peer.run(stack, PEER_SCRIPT, url, "store", str(PEER_EVENTS))
            cells.append(Cell(PEER, lambda: peer.run(stack, PEER_SCRIPT, url, "replay", str(PEER_EVENTS))))
        yield cells
        for connection in connections:
            await connection.close()


async def _nowhere(_: bytes) -> None: ...


def _rate(id_: str, cell: str, reference: str, least: float) -> Goal:
    rate = "per_second"
    return Goal(id_, f"{cell}, of {reference}", Figure(cell, rate), Figure(reference, rate), least=least)


GROUP = Group(
    "Replay",
    [
        _rate("P7", REPLAY, RAW, 0.4),
        _rate("P7", REPLAY, PEER, 5),
        _rate("P8", LIVE, SINGLE, 50),
        _rate("P8", REBUILD, REPLAY, 0.6),
        Goal("P7", f"{REPLAY}: facts a second", Figure(REPLAY, "per_second")),
        Goal("P8", f"{REBUILD}: facts a second", Figure(REBUILD, "per_second")),
        Goal("P8", f"{LIVE}: facts a second", Figure(LIVE, "per_second")),
    ],
    open_cells,
)
