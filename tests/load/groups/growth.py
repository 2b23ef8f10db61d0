"""P9: what an append costs, and what processes weigh, as the store grows."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from hashlib import md5
from itertools import cycle, islice

import asyncpg
import psutil

from infra.local.postgres import SUPERUSER
from kernel.store.connections import connect
from kernel.store.interface import Outcome
from kernel.store.postgres import PostgresStore
from tests.load import history
from tests.load.groups.append import CALLERS, UNLIMITED, WITH_REQUEST, Uncounted, an_append, appending, fill
from tests.load.groups.replaying import through
from tests.load.load import Work, for_a_while
from tests.load.measuring import Cell, Figure, Goal, Group, Options, Reading
from tests.load.stack import Stack, with_login

FEW_FACTS = 10_000
MANY_FACTS = 10_000_000
FACTS_OF_STREAM = 5
STREAMS_GOING_ON = 2_000  # those that are appended to, as most conversations rest
APPENDS = 1_000_000
SECONDS = 1.0  # of each cell: longer, and there would soon be many facts where there are to be few
WARM_UP_SECONDS = 20.0

REQUESTS = 500_000  # remembered when a cell begins: as many as came in their period, however many facts there are
FILL_REQUESTS = """
insert into requests_call (key, digest, stream, version)
select sha256(i::text::bytea), sha256(i::text::bytea), 'conversation-' || md5(i::text), 1
from generate_series(1, $1::integer) i"""

FEW = f"{WITH_REQUEST}, {FEW_FACTS:,} facts in the store"
MANY = f"{WITH_REQUEST}, {MANY_FACTS:,} facts in the store"
SCATTERED = f"{MANY}, every one to a new stream"
APPENDING = f"{APPENDS:,} appends"
REPLAYING = f"replay of {MANY_FACTS:,} facts"
SESSIONS = """
select pid from pg_stat_activity where datname = current_database() and application_name like 'messaging_%'"""


def a_fact() -> bytes:
    """Returns a sealed message."""
    *_, fact = list(islice(history.messages(100), 100))[-1]
    return fact


def private_bytes(pid: int) -> int:
    memory = psutil.Process(pid).memory_info()
    return int(memory.rss - memory.shared)


def memory(sessions: Sequence[int]) -> tuple[int, int]:
    """Returns the bytes this process, and its server sessions, hold without what they share, such as the buffers."""
    return private_bytes(psutil.Process().pid), sum(map(private_bytes, sessions))


def growth(samples: Sequence[tuple[int, int]]) -> Reading:
    """Returns the last sample over the one at a tenth, by which everything has been used once."""
    early, late = samples[len(samples) // 10], samples[-1]
    return {"ours": late[0] / early[0], "sessions": late[1] / early[1]}


async def memory_of_appends(store: PostgresStore, watching: asyncpg.Connection) -> Reading:
    append, ends_at = appending(store, CALLERS), await store.head() + APPENDS
    await append()
    sessions, samples = [row["pid"] for row in await watching.fetch(SESSIONS)], []
    while await store.head() < ends_at:
        await append()
        samples.append(memory(sessions))
    return growth(samples)


async def memory_of_replay(url: str) -> Reading:
    replaying = await connect(url, role="messaging_reader", search_path="messaging", **UNLIMITED)
    samples: list[tuple[int, int]] = []

    def sample(position: int) -> None:
        if position >= MANY_FACTS // 100 * (len(samples) + 1):
            samples.append(memory([replaying.get_server_pid()]))

    await through(replaying, MANY_FACTS, sample)
    await replaying.close()
    return growth(samples)


async def empty(url: str) -> None:
    connection = await connect(url, role="messaging_owner", search_path="messaging", **UNLIMITED)
    await connection.execute("truncate facts")
    await connection.close()


async def reset_requests(url: str) -> None:
    connection = await connect(url, role="messaging_owner", search_path="messaging", **UNLIMITED)
    await connection.execute("truncate requests_call")
    await connection.execute(FILL_REQUESTS, REQUESTS, timeout=600)
    await connection.execute("vacuum analyze requests_call", timeout=600)
    await connection.close()


def filled(number: int) -> str:
    """Returns a stream that `fill` made."""
    return f"conversation-{md5(str(number).encode(), usedforsecurity=False).hexdigest()}"


def conversing(store: PostgresStore, fact: bytes) -> Sequence[Work]:
    """Callers that append to streams which `fill` made, each to its own in turn."""

    def caller(number: int) -> Work:
        streams = [filled(n) for n in range(number, STREAMS_GOING_ON, CALLERS)]
        versions = dict.fromkeys(streams, FACTS_OF_STREAM)
        turns = cycle(streams)

        async def append() -> None:
            stream = next(turns)
            told = await store.append(an_append(fact)._replace(stream=stream, expected_version=versions[stream]))
            assert told.outcome is Outcome.APPENDED
            versions[stream] = told.version

        return append

    return [caller(number) for number in range(CALLERS)]


@asynccontextmanager
async def open_store(stack: Stack, facts: int) -> AsyncIterator[tuple[str, PostgresStore]]:
    async with stack.database("messaging") as url:
        await fill(url, facts, a_fact(), facts_of_stream=FACTS_OF_STREAM)
        await reset_requests(url)
        store = PostgresStore(url, "messaging", Uncounted())
        await store.open()
        try:
            yield url, store
        finally:
            await store.close()


@asynccontextmanager
async def open_costs(stack: Stack, options: Options) -> AsyncIterator[Sequence[Cell]]:
    fact = a_fact()
    async with open_store(stack, FEW_FACTS) as (few_url, few), open_store(stack, MANY_FACTS) as (many_url, many):
        to_many = conversing(many, fact)

        async def append_to_few() -> Reading:
            """What the round before appended is taken away first: soon there would be many."""
            await empty(few_url)
            await fill(few_url, FEW_FACTS, fact, facts_of_stream=FACTS_OF_STREAM)
            await reset_requests(few_url)
            return await for_a_while(conversing(few, fact), SECONDS)

        async def append_to_many() -> Reading:
            await reset_requests(many_url)
            return await for_a_while(to_many, SECONDS)

        async def append_scattered() -> Reading:
            await reset_requests(many_url)
            return await appending(many, CALLERS, seconds=SECONDS)()

        # What filling left to be written would slow every commit. And a page's first change after a checkpoint logs all
        # of it: checkpoints are half an hour apart, and some seconds after one few pages are left that it happens to.
        await stack.administer("checkpoint")
        await for_a_while(to_many, WARM_UP_SECONDS)
        yield [
            Cell(FEW, append_to_few),
            Cell(MANY, append_to_many),
            Cell(SCATTERED, append_scattered),
        ]


@asynccontextmanager
async def open_memory(stack: Stack, options: Options) -> AsyncIterator[Sequence[Cell]]:
    async with open_store(stack, MANY_FACTS) as (url, store):
        watching = await asyncpg.connect(with_login(url, SUPERUSER))
        yield [
            Cell(REPLAYING, lambda: memory_of_replay(url)),
            Cell(APPENDING, lambda: memory_of_appends(store, watching)),
        ]
        await watching.close()


COST = Group(
    "Growth of the store",
    [
        Goal(
            "P9",
            f"{MANY}, of {FEW_FACTS:,}: appends a second",
            Figure(MANY, "per_second"),
            Figure(FEW, "per_second"),
            least=0.87,
        ),
        Goal(
            "P9",
            f"{SCATTERED}, of {FEW_FACTS:,}: appends a second",
            Figure(SCATTERED, "per_second"),
            Figure(FEW, "per_second"),
        ),
    ],
    open_costs,
    room_gib=40,
)
MEMORY = Group(
    "Growth of processes",
    [
        Goal("P9", f"memory at the end of {what}, of that at a tenth: {whose}", Figure(what, figure), most=1.05)
        for what in (APPENDING, REPLAYING)
        for whose, figure in (("our process", "ours"), ("its server sessions", "sessions"))
    ],
    open_memory,
    rounds_max=1,
    room_gib=40,
)
