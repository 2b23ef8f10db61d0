"""`make bench`: how close the store's append comes to Postgres itself, as ratios measured in the same run.

Absolute figures move with the machine and its neighbours; a ratio of two cells that ran in turn does not. The reference
is 32 connections that each insert one row of about 300 bytes, two unique indexes, a transaction each.
"""

import asyncio
import secrets
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import asyncpg
import uvloop
from rich.console import Console
from rich.table import Table

from infra.database import prepare
from infra.local import servers
from kernel.migrate import migrate
from kernel.store.interface import Append, Request
from kernel.store.postgres import PostgresStore

ROUNDS = 5
CELL_SECONDS = 3.0
REFERENCE_CONNECTIONS = 32
CALLERS = 256
FACT_BYTES = 220

Cell = Callable[[], Awaitable[int]]


class Uncounted:
    def appended(self, outcome: str) -> None: ...

    def batch(self, appends: int, waiting: int) -> None: ...


async def for_a_while(workers: Sequence[Callable[[], Awaitable[None]]]) -> int:
    """Lets every worker repeat its piece of work for CELL_SECONDS. Returns the pieces done in a second."""
    ends_at = time.monotonic() + CELL_SECONDS
    done = 0

    async def repeat(work: Callable[[], Awaitable[None]]) -> None:
        nonlocal done
        while time.monotonic() < ends_at:
            await work()
            done += 1

    began = time.monotonic()
    await asyncio.gather(*(repeat(work) for work in workers))
    return round(done / (time.monotonic() - began))


async def reference(database_url: str) -> Cell:
    setup = await asyncpg.connect(database_url)
    await setup.execute(
        "create table reference (position bigint generated always as identity primary key, stream text not null,"
        " version integer not null, recorded_at timestamptz not null default now(), fact bytea not null,"
        " unique (stream, version))"
    )
    await setup.close()
    connections = [await asyncpg.connect(database_url) for _ in range(REFERENCE_CONNECTIONS)]
    fact = secrets.token_bytes(FACT_BYTES)
    insert = "insert into reference (stream, version, fact) values ($1, 1, $2)"

    def writer(connection: asyncpg.Connection) -> Callable[[], Awaitable[None]]:
        async def write() -> None:
            await connection.execute(insert, secrets.token_hex(16), fact)

        return write

    return lambda: for_a_while([writer(connection) for connection in connections])


def appending(store: PostgresStore, *, dependencies: int) -> Cell:
    fact = secrets.token_bytes(FACT_BYTES)

    async def append() -> None:
        depends_on = {f"gate-{secrets.token_hex(8)}": 0 for _ in range(dependencies)}
        request = Request(secrets.token_bytes(32), secrets.token_bytes(32))
        await store.append(Append(secrets.token_hex(16), 0, [fact], request, depends_on=depends_on))

    return lambda: for_a_while([append] * CALLERS)


async def measure(database_url: str) -> dict[str, list[int]]:
    """Returns appends a second by cell, one figure a round; the cells of a round run in turn."""
    await prepare(database_url)
    await migrate(database_url, "messaging")
    store = PostgresStore(database_url, "messaging", Uncounted())
    await store.open()
    cells = {
        "reference: one row a transaction, 32 connections": await reference(database_url),
        "append with request id, 256 callers": appending(store, dependencies=0),
        "append with request id and a dependency, 256 callers": appending(store, dependencies=1),
    }
    figures: dict[str, list[int]] = {name: [] for name in cells}
    for _ in range(ROUNDS):
        for name, cell in cells.items():
            figures[name].append(await cell())
    await store.close()
    return figures


def show(figures: dict[str, list[int]]) -> None:
    reference_figures = next(iter(figures.values()))
    table = Table(title=f"{ROUNDS} rounds of {CELL_SECONDS:g} s, fsync on", title_justify="left")
    for column in ("cell", "median a second", "ratio to reference", "least", "most"):
        table.add_column(column)
    for name, rates in figures.items():
        ratios = [rate / base for rate, base in zip(rates, reference_figures, strict=True)]
        row = (statistics.median(ratios), min(ratios), max(ratios))
        table.add_row(name, str(round(statistics.median(rates))), *(f"{ratio:.2f}" for ratio in row))
    Console().print(table)


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="holdspace-bench-") as folder:
        data = Path(folder)
        try:
            where = servers.up(data, lambda line: print(line, file=sys.stderr))
            show(uvloop.run(measure(where.database_url)))
        finally:
            servers.down(data)


if __name__ == "__main__":
    main()
