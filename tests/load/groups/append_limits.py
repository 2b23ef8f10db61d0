"""P1: how far a client in C comes that looks up and writes what an append does, a hundred to a statement.

It has one connection, as appends go one after another, and refuses and answers nobody. A group of its own: it writes as
much again as the cells of P1.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from tests.load import pgbench
from tests.load.groups.append import CALLERS, WITH_DEPENDENCY, WITH_REQUEST, appending, open_store
from tests.load.measuring import Cell, Figure, Goal, Group, Options
from tests.load.stack import Stack

REFERENCES = (pgbench.MANY_ROWS, pgbench.MANY_WITH_REQUESTS, pgbench.MANY_WITH_DEPENDENCIES)


@asynccontextmanager
async def open_cells(stack: Stack, options: Options) -> AsyncIterator[Sequence[Cell]]:
    async with open_store(stack) as (database_url, store):
        yield [
            pgbench.one_row(database_url, stack.folder),
            *[pgbench.many_rows(name, database_url, stack.folder) for name in REFERENCES],
            Cell(WITH_REQUEST, appending(store, CALLERS)),
            Cell(WITH_DEPENDENCY, appending(store, CALLERS, has_dependency=True)),
        ]


def _of(reference: str, cell: str) -> Goal:
    return Goal("P1", f"{cell}, of {reference}", Figure(cell, "per_second"), Figure(reference, "per_second"))


GROUP = Group(
    "What an append is, as a plain statement",
    [
        *[_of(pgbench.ONE_ROW, name) for name in REFERENCES],
        _of(pgbench.MANY_WITH_REQUESTS, WITH_REQUEST),
        _of(pgbench.MANY_WITH_DEPENDENCIES, WITH_DEPENDENCY),
    ],
    open_cells,
)
