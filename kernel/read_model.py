"""Read models: our own facts as rows, in a schema of their own, written with their checkpoint in one transaction.

A read model has no migrations. When its definition changes it is built again beside the live one and swapped.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
from google.protobuf.message import Message

from kernel.facts import FactTypes
from kernel.own_facts import OwnFact, opened
from kernel.store.interface import Recorded

PAGE_FACTS_MAX = 2_000

CHECKPOINT = """
create table if not exists read_model_checkpoint (
    only_row   boolean primary key default true check (only_row),
    position   bigint  not null,
    definition text    not null
)"""
PAGE = """
select position, stream, version, recorded_at, fact from facts
where position > $1 and position <= $1 + $2 order by position"""


@dataclass(frozen=True, slots=True)
class Write:
    """A named statement, and its parameters out of a fact. None: this fact does not concern the statement."""

    statement: str
    values: Callable[[OwnFact, Any], Sequence[object] | None]


@dataclass(frozen=True, slots=True)
class ReadModel:
    """`tables`: a .sql file that creates them; `statements`: by name; `writes`: by fact; `ignores`: facts that change
    no row. A fact in neither stops the projection.

    The statements of a page run one after the other, in the order they are first listed in `writes`, each with all its
    rows in the order of the facts: many times faster than fact by fact. What must keep its order is one statement.
    """

    tables: Path
    statements: Mapping[str, str]
    writes: Mapping[type[Message], Sequence[Write]]
    ignores: Sequence[type[Message]] = ()

    @property
    def definition(self) -> str:
        """Tells one definition of the rows from another."""
        text = self.tables.read_text() + "".join(f"{name}{sql}" for name, sql in sorted(self.statements.items()))
        return hashlib.sha256(text.encode()).hexdigest()


class UnlistedFact(Exception):  # noqa: N818 - names the finding
    """A fact that the read model neither writes nor ignores."""


async def create(connection: asyncpg.Connection, service: str, model: ReadModel, schema: str) -> None:
    """Creates the tables in the schema, which must exist, and lets the api read them."""
    async with connection.transaction():
        # Several processes start at once, and `if not exists` does not wait for whoever is just creating it.
        await connection.execute("select pg_advisory_xact_lock(hashtext('holdspace.read-model'), hashtext($1))", schema)
        await connection.execute(f"set local search_path = {schema}")
        await connection.execute(CHECKPOINT)
        if await connection.fetchval("select true from read_model_checkpoint"):
            return
        await connection.execute(model.tables.read_text())
        await connection.execute(
            "insert into read_model_checkpoint (position, definition) values (0, $1)", model.definition
        )
        await connection.execute(f"grant usage on schema {schema} to {service}_api, {service}_owner")
        await connection.execute(f"grant select on all tables in schema {schema} to {service}_api, {service}_owner")


async def project(
    connection: asyncpg.Connection, model: ReadModel, fact_types: FactTypes, facts_max: int = PAGE_FACTS_MAX
) -> int:
    """Takes one page of facts into the rows and returns how many facts it had.

    The checkpoint's row is locked for the page: of two processes one applies a fact.
    """
    async with connection.transaction():
        position = await connection.fetchval("select position from read_model_checkpoint for update")
        page = [opened(Recorded(*row), fact_types) for row in await connection.fetch(PAGE, position, facts_max)]
        for statement, rows in _rows(page, model).items():
            if rows:
                await connection.executemany(model.statements[statement], rows)
        if page:
            await connection.execute("update read_model_checkpoint set position = $1", page[-1].position)
    return len(page)


def _rows(page: Sequence[OwnFact], model: ReadModel) -> dict[str, list[Sequence[object]]]:
    rows: dict[str, list[Sequence[object]]] = {w.statement: [] for writes in model.writes.values() for w in writes}
    for fact in page:
        writes = model.writes.get(type(fact.payload))
        if writes is None:
            if type(fact.payload) not in model.ignores:
                raise UnlistedFact(fact.envelope.type)
            continue
        for write in writes:
            values = write.values(fact, fact.payload)
            if values is not None:
                rows[write.statement].append(values)
    return rows


async def digest(connection: asyncpg.Connection, schema: str) -> str:
    """Returns a digest over all rows of the schema's tables, whatever their order on disk."""
    tables = await connection.fetch("select tablename from pg_tables where schemaname = $1 order by tablename", schema)
    whole = hashlib.sha256()
    for (table,) in tables:
        if table == "read_model_checkpoint":
            continue
        row = await connection.fetchrow(
            f"select count(*), coalesce(sum(('x' || left(md5(t::text), 16))::bit(64)::bigint::numeric), 0)"  # noqa: S608 - names from the catalogue
            f" from {schema}.{table} t"
        )
        whole.update(f"{table} {row[0]} {row[1]}\n".encode())
    return whole.hexdigest()
