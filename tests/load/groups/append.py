"""P1, P2: appends of one process beside a client that checks nothing, and beside another library for event sourcing."""

import random
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from kernel.store.append_call import APPEND, arguments, outcomes
from kernel.store.appender import Appender
from kernel.store.connections import connect
from kernel.store.interface import Append, Appended, Request
from kernel.store.postgres import PostgresStore
from tests.load import peer, pgbench
from tests.load.load import for_a_while
from tests.load.measuring import Cell, Figure, Goal, Group, Options, Reading
from tests.load.stack import Stack

FACTS_BEFORE = pgbench.ROWS_BEFORE
CALLERS = 256
FEWER_CALLERS = 64

BARE = f"append, expected version only, {CALLERS} callers"
WITH_REQUEST = f"append with request id, {CALLERS} callers"
WITH_DEPENDENCY = f"append with request id and a dependency, {CALLERS} callers"
FEWER = f"append with request id, {FEWER_CALLERS} callers"
PEER = f"{peer.NAME}: the best of its ways to append"
PEER_SCRIPT, PEER_SECONDS = "append_eventsourcing.py", "2"
ONE_ROW = Figure(pgbench.ONE_ROW, "per_second")
MANY_ROWS = Figure(pgbench.MANY_ROWS, "per_second")


class Uncounted:
    """Metrics of a store that nobody looks at."""

    def appended(self, outcome: str, count: int) -> None: ...

    def batch(self, appends: int, waiting: int) -> None: ...


UNLIMITED = {"statement_timeout": "0", "transaction_timeout": "0"}
FILL = """
insert into facts (position, stream, version, recorded_at, fact)
select i + 1, 'conversation-' || md5((i % $3)::text), i / $3 + 1, now(), $2
from generate_series(0, $1::integer - 1) i"""


async def fill(
    database_url: str, facts: int, fact: bytes = bytes(pgbench.FACT_BYTES), *, facts_of_stream: int = 1
) -> None:
    """Lets the store hold so many times the fact; streams get theirs in turn."""
    connection = await connect(database_url, role="messaging_owner", search_path="messaging", **UNLIMITED)
    await connection.execute(FILL, facts, fact, facts // facts_of_stream, timeout=1200)
    await connection.execute("vacuum analyze facts", timeout=1200)
    await connection.close()


def an_append(fact: bytes, *, has_dependency: bool = False) -> Append:
    """An append to a new stream, by a request of its own."""
    number = random.getrandbits(512).to_bytes(64)
    stream = f"conversation-{number[:16].hex()}"
    depends_on = {f"client-{number[16:32].hex()}": 0} if has_dependency else {}
    return Append(stream, 0, [fact], Request(number[:32], number[32:]), depends_on=depends_on)


class WithoutRequest(Appender):
    """An appender that looks no request up and keeps none, which nothing in the product does."""

    async def _call(self, appends: Sequence[Append]) -> list[Appended]:
        self._connection = self._connection or await self._connect()
        columns = arguments(appends)
        columns[3:6] = [None] * 3  # key, digest and kind
        row = await self._connection.fetchrow(APPEND, *columns)
        return outcomes(appends, row["head"], row["outcomes"], row["answers"])


class StoreWithoutRequests(PostgresStore):
    """The store, but that the expected version alone decides."""

    def __init__(self, database_url: str, service: str) -> None:
        super().__init__(database_url, service, Uncounted())
        self._appenders = [
            WithoutRequest(self._queue, self._connect_to_append, self.find_request, Uncounted())
            for _ in self._appenders
        ]


def appending(
    store: PostgresStore, callers: int, *, has_dependency: bool = False, seconds: float = 3.0
) -> Callable[[], Awaitable[Reading]]:
    fact = secrets.token_bytes(pgbench.FACT_BYTES)

    async def append() -> None:
        await store.append(an_append(fact, has_dependency=has_dependency))

    return lambda: for_a_while([append] * callers, seconds)


@asynccontextmanager
async def open_store(stack: Stack) -> AsyncIterator[tuple[str, PostgresStore]]:
    """Yields the URL of a database, and the store in it: as full as the references' table, its log run for a while."""
    async with stack.database("messaging") as database_url:
        await pgbench.create_table(database_url)
        await fill(database_url, FACTS_BEFORE)
        await stack.age_log()
        store = PostgresStore(database_url, "messaging", Uncounted())
        await store.open()
        yield database_url, store
        await store.close()


@asynccontextmanager
async def open_cells(stack: Stack, options: Options) -> AsyncIterator[Sequence[Cell]]:
    async with open_store(stack) as (database_url, store):
        bare = StoreWithoutRequests(database_url, "messaging")
        await bare.open()
        cells = [
            pgbench.one_row(database_url, stack.folder),
            pgbench.many_rows(pgbench.MANY_ROWS, database_url, stack.folder),
            Cell(BARE, appending(bare, CALLERS)),
            Cell(WITH_REQUEST, appending(store, CALLERS)),
            Cell(WITH_DEPENDENCY, appending(store, CALLERS, has_dependency=True)),
            Cell(FEWER, appending(store, FEWER_CALLERS)),
        ]
        if options.peers:
            await peer.install(stack)
            cells.append(Cell(PEER, lambda: peer.run(stack, PEER_SCRIPT, database_url, PEER_SECONDS)))
        yield cells
        await bare.close()


def _rate(id_: str, cell: str, reference: Figure, least: float) -> Goal:
    return Goal(id_, f"{cell}, of {reference.cell}", Figure(cell, "per_second"), reference, least=least)


GROUP = Group(
    "Append",
    [
        _rate("P1", BARE, MANY_ROWS, 0.65),
        _rate("P1", BARE, ONE_ROW, 4),
        _rate("P1", WITH_REQUEST, MANY_ROWS, 0.45),
        _rate("P1", WITH_REQUEST, ONE_ROW, 3),
        _rate("P1", WITH_DEPENDENCY, MANY_ROWS, 0.4),
        _rate("P1", WITH_DEPENDENCY, ONE_ROW, 2.5),
        _rate("P2", WITH_REQUEST, Figure(PEER, "per_second"), 10),
        _rate("P1", FEWER, Figure(WITH_REQUEST, "per_second"), 0.6),
        Goal("P1", f"{FEWER}: p99 in ms", Figure(FEWER, "p99_ms"), most=8),
    ],
    open_cells,
)
