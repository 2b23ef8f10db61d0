"""`holdspace parked`: records that a consumer could not take in, and having them taken again."""

import asyncio
from collections.abc import Sequence

import click

from infra.cli.errors import FAILED, CommandError, NotMigrated
from infra.cli.output import Row, output_option, show
from infra.cli.store import SQL, connected, reading
from infra.cli.where import SERVICE, database_option
from infra.database import SERVICES
from kernel.consumers import parking
from kernel.consumers.parking import Parked
from kernel.errors import Poison
from kernel.facts import open_envelope

RECORDS_AT_ONCE = 500
COLUMNS = ("service", "consumer", "key", "type", "topic", "partition", "offset", "parked_at", "redrive", "reason")


@click.group("parked")
def parked() -> None:
    """Records that a consumer could not take in wait with all later ones of their key, until they are redriven."""


@parked.command("list")
@click.argument("service", type=SERVICE, required=False)
@output_option
@database_option()
def list_parked(service: str | None, output: str, database_url: str) -> None:
    """List parked records of SERVICE, or of every service, in the order of their partitions.

    The first record of a key failed for its reason; those after it wait behind it.
    """
    rows = asyncio.run(_list_one(database_url, service) if service else _list_all(database_url))
    show(rows, output, COLUMNS)


@parked.command("redrive")
@click.argument("service", type=SERVICE)
@click.argument("consumer")
@click.argument("key")
@database_option()
def redrive(service: str, consumer: str, key: str, database_url: str) -> None:
    """Have the running CONSUMER of SERVICE take the records of KEY again, in their order.

    Mend the cause first. The consumer does it within seconds; a record that fails again stays, with its new reason: see
    `holdspace parked list`.
    """
    topics = asyncio.run(_redrive(database_url, service, consumer, key))
    if not topics:
        raise CommandError(f"nothing is parked for {key} of consumer {consumer} in {service}", FAILED)
    click.echo(f"asked {consumer} to take {key} again: {', '.join(topics)}")


async def _list_all(url: str) -> list[Row]:
    rows: list[Row] = []
    for service in SERVICES:
        try:
            rows += await _list_one(url, service)
        except NotMigrated:
            click.echo(f"{service} is not migrated in this database", err=True)
    return rows


async def _list_one(url: str, service: str) -> list[Row]:
    rows: list[Row] = []
    async with reading(url, service) as connection:
        asked = {tuple(row) for row in await connection.fetch(SQL["redrives"])}
        after: Parked | None = None
        while page := await parking.list_parked(connection, after=after, limit=RECORDS_AT_ONCE):
            rows += [_row(service, each, asked) for each in page]
            after = page[-1]
    return rows


async def _redrive(url: str, service: str, consumer: str, key: str) -> Sequence[str]:
    async with connected(url, service, "api") as connection:
        return await parking.redrive(connection, consumer, key)


def _row(service: str, parked: Parked, asked: set[tuple[object, ...]]) -> Row:
    record = parked.record
    return {
        "service": service,
        "consumer": parked.consumer,
        "key": record.key.decode(errors="backslashreplace"),
        "type": _type(record.value),
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "source": parked.source,
        "position": parked.position,
        "parked_at": parked.parked_at,
        "redrive": "asked" if (parked.consumer, record.topic, record.key) in asked else None,
        "reason": parked.reason,
    }


def _type(value: bytes | None) -> str | None:
    try:
        return open_envelope(value or b"").type
    except Poison:
        return None
