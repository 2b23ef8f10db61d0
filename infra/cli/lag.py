"""`holdspace lag`: how far everything that follows is behind what it follows."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

import asyncpg
import click

from infra import topics
from infra.cli.brokers import end_offsets
from infra.cli.errors import FAILED, CommandError, NotMigrated
from infra.cli.output import Row, output_option, show
from infra.cli.store import SQL, reading
from infra.cli.where import SERVICE, database_option, kafka_option
from infra.database import SERVICES
from kernel.consumers.records import Partition
from kernel.consumers.watermarks import freshness

STORE_COLUMNS = ("service", "facts", "unsent", "oldest_unsent_seconds", "read_model_behind")
CONSUMER_COLUMNS = ("service", "consumer", "lag_records", "behind_seconds", "parked_keys")

Checkpoints = Mapping[str, Mapping[Partition, int]]  # next offsets by consumer


@dataclass(frozen=True, slots=True)
class Found:
    """A service's own side: what it has, and where its consumers stand."""

    store: Row
    checkpoints: Checkpoints
    behind: Mapping[str, timedelta | None]
    parked_keys: Mapping[str, int]


@click.command("lag")
@click.argument("service", type=SERVICE, required=False)
@output_option
@database_option()
@kafka_option
def lag(service: str | None, output: str, database_url: str, kafka: str) -> None:
    """Show what SERVICE, or every service, has not sent, not projected and not taken in yet.

    \b
    unsent             facts its relay has not brought to Kafka, and how old the oldest is; - if it publishes none
    read_model_behind  facts its rows do not contain yet
    lag_records        records of its topics that a consumer has not taken
    behind_seconds     age of the last instant up to which it has taken everything; - while that is not known
    parked_keys        keys that wait for an operator: holdspace parked list
    """
    found = asyncio.run(_find(database_url, [service] if service else SERVICES))
    if not found:
        raise CommandError("no service is migrated in this database", FAILED)
    partitions = {each for one in found.values() for held in one.checkpoints.values() for each in held}
    ends = end_offsets(kafka, partitions)
    show([one.store for one in found.values()], output, STORE_COLUMNS)
    show([row for name, one in found.items() for row in _consumer_rows(name, one, ends)], output, CONSUMER_COLUMNS)


async def _find(url: str, services: Sequence[str]) -> dict[str, Found]:
    found = {}
    for service in services:
        try:
            async with reading(url, service) as connection:
                found[service] = await _look(connection, service)
        except NotMigrated:
            click.echo(f"{service} is not migrated in this database", err=True)
    return found


async def _look(connection: asyncpg.Connection, service: str) -> Found:
    store = await connection.fetchrow(SQL["store"])
    position = 0
    with suppress(asyncpg.UndefinedTableError):  # It has not been projected yet.
        position = (await connection.fetchrow(SQL["read_model"]))["position"]
    checkpoints: dict[str, dict[Partition, int]] = defaultdict(dict)
    for row in await connection.fetch(SQL["next_offsets"]):
        checkpoints[row["consumer"]][Partition(row["topic"], row["partition"])] = row["next_offset"]
    reached = {consumer: await freshness(connection, consumer) for consumer in checkpoints}
    publishes = service in {topic.owner.replace("-", "_") for topic in topics.load()}
    unsent_since: datetime | None = store["unsent_since"] if publishes else None
    return Found(
        store={
            "service": service,
            "facts": store["head"],
            "unsent": store["head"] - store["relayed"] if publishes else None,
            "oldest_unsent_seconds": _seconds(store["now"] - unsent_since if unsent_since else None),
            "read_model_behind": store["head"] - position,
        },
        checkpoints=checkpoints,
        behind={consumer: store["now"] - at if at else None for consumer, at in reached.items()},
        parked_keys={row["consumer"]: row["keys"] for row in await connection.fetch(SQL["parked_keys"])},
    )


def _consumer_rows(service: str, found: Found, ends: Mapping[Partition, int]) -> list[Row]:
    return [
        {
            "service": service,
            "consumer": consumer,
            "lag_records": sum(max(0, ends[partition] - offset) for partition, offset in offsets.items()),
            "behind_seconds": _seconds(found.behind[consumer]),
            "parked_keys": found.parked_keys.get(consumer, 0),
        }
        for consumer, offsets in found.checkpoints.items()
    ]


def _seconds(age: timedelta | None) -> float | None:
    return None if age is None else round(age.total_seconds(), 1)
