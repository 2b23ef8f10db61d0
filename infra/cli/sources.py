"""`holdspace sources`: whose watermarks a service waits for, and no longer waiting for one that is gone."""

import asyncio

import click

from infra.cli.errors import NotMigrated
from infra.cli.operations import operating, yes_option
from infra.cli.output import Row, output_option, show
from infra.cli.store import reading
from infra.cli.where import SERVICE, database_option
from infra.database import SERVICES
from kernel.consumers.operating import SQL

COLUMNS = ("service", "consumer", "topic", "source", "position", "age_seconds", "heard_in", "silent_seconds")


@click.group("sources")
def sources() -> None:
    """Who publishes what a service consumes: service, cell and epoch. Gates wait for every source ever heard of."""


@sources.command("list")
@click.argument("service", type=SERVICE, required=False)
@output_option
@database_option()
def list_sources(service: str | None, output: str, database_url: str) -> None:
    """List the sources that consumers of SERVICE, or of all, have heard of.

    \b
    age_seconds     age of the oldest watermark reached: gates rest on it
    heard_in        partitions it has been heard of in; fewer than all close the gates
    silent_seconds  since its last watermark; one that rises belongs to a source that is gone, or was never meant to be
    """
    rows: list[Row] = []
    for each in [service] if service else SERVICES:
        try:
            rows += asyncio.run(_list(database_url, each))
        except NotMigrated:
            click.echo(f"{each} is not migrated in this database", err=True)
    show(rows, output, COLUMNS)


@sources.command("forget")
@click.argument("service", type=SERVICE)
@click.argument("consumer")
@click.argument("source")
@yes_option
@database_option()
def forget(service: str, consumer: str, source: str, yes: bool, database_url: str) -> None:
    """Have the gates of CONSUMER of SERVICE no longer wait for SOURCE: a cell retired, or named by mistake.

    Its facts stay, and so do its marks. Refused while it still publishes. Should it come back, it is waited for again.
    """
    operating(database_url, service, consumer, lambda operation: operation.forget_source(source), yes=yes)


async def _list(url: str, service: str) -> list[Row]:
    async with reading(url, service) as connection:
        found = await connection.fetch(SQL["sources"], None, None)
    return [
        {
            "service": service,
            **{name: row[name] for name in ("consumer", "topic", "source", "position")},
            "age_seconds": round(row["age_seconds"], 1),
            "heard_in": f"{row['heard']} of {row['partitions']}",
            "silent_seconds": round(row["silent_seconds"], 1),
        }
        for row in found
    ]
