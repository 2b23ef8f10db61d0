"""Read models: our own facts as rows, in a schema of their own, written with their checkpoint in one transaction.

A read model has no migrations. When its definition changes it is built again beside the live one and swapped.
"""

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import asyncpg
from google.protobuf.message import Message

from kernel.facts import FactTypes
from kernel.projected import Rows, Writes
from kernel.replay import page_of

FACTS_BETWEEN_TURNS = 200
PAGE_FACTS_MAX = 10_000  # at once when there is a backlog; the more, the fewer rows are written twice

CHECKPOINT = """
create table if not exists read_model_checkpoint (
    only_row   boolean primary key default true check (only_row),
    position   bigint  not null,
    definition text    not null
)"""

TABLES = """
select tablename from pg_tables where schemaname = $1 and tablename <> 'read_model_checkpoint' order by tablename"""


ANALYZE = """
select 'analyze ' || string_agg(quote_ident(tablename), ', ') from pg_tables where schemaname = current_schema()"""


@dataclass(frozen=True, slots=True)
class ReadModel:
    """`tables`: .sql files that create them, with the indexes that statements need; `indexes`: one with those that
    only queries need, which a rebuild makes when the rows are there. `statements`: by name; `writes`: by fact;
    `ignores`: facts that change no row. A fact in neither stops the projection. `revision`: raised when the same facts
    come to other values, which the SQL does not show (tests/contract/test_rows.py notices).
    """

    tables: Sequence[Path]
    statements: Mapping[str, str]
    writes: Writes
    ignores: Sequence[type[Message]] = ()
    indexes: Path | None = None
    revision: int = 1

    @property
    def definition(self) -> str:
        """Tells one definition of the rows from another."""
        text = "".join(path.read_text() for path in [*self.tables, *([self.indexes] if self.indexes else [])])
        text += "".join(f"{name}{sql}" for name, sql in sorted(self.statements.items()))
        return hashlib.sha256(f"{text}{self.revision}".encode()).hexdigest()

    def rows(self, fact_types: FactTypes) -> Rows:
        return Rows(self.writes, self.ignores, fact_types)


async def create(
    connection: asyncpg.Connection, service: str, model: ReadModel, schema: str, *, with_indexes: bool = True
) -> None:
    """Creates the tables in the schema, which must exist, and lets the api read them."""
    async with connection.transaction():
        # Several processes start at once, and `if not exists` does not wait for whoever is just creating it.
        await connection.execute("select pg_advisory_xact_lock(hashtext('holdspace.read-model'), hashtext($1))", schema)
        await connection.execute(f"set local search_path = {schema}")
        await connection.execute(CHECKPOINT)
        if await connection.fetchval("select true from read_model_checkpoint"):
            return
        for tables in model.tables:
            await connection.execute(tables.read_text())
        if with_indexes:
            await create_indexes(connection, model)
        await connection.execute(
            "insert into read_model_checkpoint (position, definition) values (0, $1)", model.definition
        )
        await connection.execute(f"grant usage on schema {schema} to {service}_api, {service}_owner")
        await connection.execute(f"grant select on all tables in schema {schema} to {service}_api, {service}_owner")


async def create_indexes(connection: asyncpg.Connection, model: ReadModel) -> None:
    """Makes the indexes that only queries need."""
    if model.indexes is not None:
        await connection.execute(model.indexes.read_text())


async def project(
    connection: asyncpg.Connection, model: ReadModel, fact_types: FactTypes, facts_max: int = PAGE_FACTS_MAX
) -> int:
    """Takes one page of facts into the rows and returns how many facts it had.

    The checkpoint's row is locked for the page: of two processes one applies a fact.
    """
    rows = model.rows(fact_types)
    async with connection.transaction():
        position = await connection.fetchval("select position from read_model_checkpoint for update")
        for part in (await page_of(connection, position, position + facts_max)).parts(FACTS_BETWEEN_TURNS):
            rows.take(part)
            await asyncio.sleep(0)  # A backlog must not keep calls, and what a gate waits for, from the event loop.
        if rows.facts:
            await write(connection, model, rows)
    return rows.facts


async def write(connection: asyncpg.Connection, model: ReadModel, rows: Rows) -> None:
    """Writes the rows with the checkpoint that goes with them, in the caller's transaction.

    Whenever the position has doubled, the tables are analyzed: the planner takes a table that was empty a moment ago
    for small, and compares every row that a statement is given with all of it.
    """
    await rows.write(connection, model.statements)
    await connection.execute("update read_model_checkpoint set position = $1", rows.position)
    if rows.position.bit_length() > (rows.position - rows.facts).bit_length():
        await connection.execute(await connection.fetchval(ANALYZE))


async def digest(connection: asyncpg.Connection, schema: str) -> str:
    """Returns a digest over all rows of the schema's tables, whatever their order on disk."""
    whole = hashlib.sha256()
    for (table,) in await connection.fetch(TABLES, schema):
        row = await connection.fetchrow(
            f"select count(*), coalesce(sum(('x' || left(md5(t::text), 16))::bit(64)::bigint::numeric), 0)"  # noqa: S608 - names from the catalogue
            f" from {schema}.{table} t"
        )
        whole.update(f"{table} {row[0]} {row[1]}\n".encode())
    return whole.hexdigest()
