"""A backup of a service's store and read model, and its restore, as a database's own tools would do it."""

from dataclasses import dataclass, field

import asyncpg

TABLES = """
select relname from pg_class c join pg_namespace n on n.oid = relnamespace
where nspname = $1 and relkind = 'r' order by relname"""


@dataclass
class Backup:
    """Rows of every table of the two schemas, taken in one snapshot. Nothing of the service may run at the restore."""

    service: str
    rows: dict[tuple[str, str], list[asyncpg.Record]] = field(default_factory=dict)

    @property
    def schemas(self) -> dict[str, str]:
        """The role that owns each."""
        return {self.service: f"{self.service}_owner", f"{self.service}_read": f"{self.service}_reader"}

    async def take(self, url: str) -> None:
        connection = await asyncpg.connect(url)
        try:
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                for schema, role in self.schemas.items():
                    await connection.execute(f"set local role {role}")
                    for (table,) in await connection.fetch(TABLES, schema):
                        self.rows[schema, table] = await connection.fetch(f"select * from {schema}.{table}")
        finally:
            await connection.close()

    async def restore(self, url: str) -> None:
        connection = await asyncpg.connect(url)
        try:
            async with connection.transaction():
                for schema, role in self.schemas.items():
                    await connection.execute(f"set local role {role}")
                    names = [f"{schema}.{table}" for place, table in self.rows if place == schema]
                    await connection.execute(f"truncate {', '.join(names)} cascade")
                for (schema, table), rows in self.rows.items():
                    await connection.execute(f"set local role {self.schemas[schema]}")
                    if rows:
                        await connection.copy_records_to_table(
                            table, schema_name=schema, columns=list(rows[0].keys()), records=[tuple(r) for r in rows]
                        )
        finally:
            await connection.close()
