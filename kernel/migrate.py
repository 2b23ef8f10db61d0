"""Migrations: numbered SQL files, each applied once, in one transaction, as the schema's owner.

The kernel's own files come first, then the service's. `pre` files run before a release, `post` files after it, when no
old process is left.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import asyncpg

KERNEL_MIGRATIONS = Path(__file__).parent / "migrations"


class MigrationChanged(Exception):  # noqa: N818 - names the finding
    """A file that was applied has other content now. Migrations are never edited; add another one."""


@dataclass(frozen=True, slots=True)
class Migration:
    name: str
    sql: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


def migrations(service: str, folder: Path | None, phase: str) -> Sequence[Migration]:
    """Returns the files of a phase, `pre` or `post`, in the order they apply."""
    folders = [KERNEL_MIGRATIONS, *([folder] if folder else [])]
    return [
        Migration(f"{path.parent.parent.name}/{path.name}", path.read_text().replace("{service}", service))
        for parent in folders
        for path in sorted(parent.glob(f"[0-9][0-9][0-9][0-9]_{phase}_*.sql"))
    ]


async def migrate(database_url: str, service: str, folder: Path | None = None, phase: str = "pre") -> list[str]:
    """Applies what is missing and returns its names. Two at once take turns. Raises MigrationChanged."""
    connection = await asyncpg.connect(
        database_url, server_settings={"role": f"{service}_owner", "search_path": f"{service}, public"}
    )
    try:
        await connection.execute("select pg_advisory_lock(hashtext('holdspace.migrate'), hashtext($1))", service)
        await connection.execute(
            "create table if not exists migrations"
            " (name text primary key, sha256 text not null, applied_at timestamptz not null default now())"
        )
        applied = dict(await connection.fetch("select name, sha256 from migrations"))
        done = []
        for migration in migrations(service, folder, phase):
            if migration.name in applied:
                if applied[migration.name] != migration.sha256:
                    raise MigrationChanged(migration.name)
                continue
            async with connection.transaction():
                await connection.execute(migration.sql)
                await connection.execute(
                    "insert into migrations (name, sha256) values ($1, $2)", migration.name, migration.sha256
                )
            done.append(migration.name)
        return done
    finally:
        await connection.close()
