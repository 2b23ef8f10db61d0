"""`holdspace consumers`: where consumers stand and why, and bringing one past what it stands still for."""

import asyncio
import json
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime

import click
from aiokafka.errors import KafkaError

from infra.cli.brokers import end_offsets
from infra.cli.errors import FAILED, CommandError, NotMigrated, cause
from infra.cli.operations import operating, yes_option
from infra.cli.output import Row, output_option, show
from infra.cli.store import reading
from infra.cli.where import SERVICE, database_option, kafka_option
from infra.database import SERVICES
from kernel.consumers.operating import SQL, Change, Log, Marks, Operation
from kernel.consumers.reader import LogChanged, LogReader
from kernel.consumers.records import Partition, Record
from kernel.errors import Poison
from kernel.relay import headers as relay_headers

COLUMNS = ("service", "consumer", "topic", "partition", "checkpoint", "end", "lag", "parked", "halted")

Step = Callable[[Operation], Awaitable[Change]]


@click.group("consumers")
def consumers() -> None:
    """Where consumers of other services' facts stand, and what to do when one does not go on.

    Whatever changes something shows it first, and does it with --yes. It is on record then: `consumers actions`.
    """


@consumers.command("list")
@click.argument("service", type=SERVICE, required=False)
@click.option("--partitions", is_flag=True, help="A line for each partition, instead of their sums.")
@output_option
@database_option()
@kafka_option
def list_consumers(service: str | None, partitions: bool, output: str, database_url: str, kafka: str) -> None:
    """List the consumers of SERVICE, or of all: checkpoint and end of each topic, what is parked, why one is halted.

    A checkpoint above the end, or a halt that says so, means that the topic was made anew: reset it.
    """
    rows = asyncio.run(_list(database_url, [service] if service else SERVICES))
    ends = end_offsets(kafka, {Partition(str(row["topic"]), int(str(row["partition"]))) for row in rows})
    told = [_told(row, ends) for row in rows]
    show(told if partitions else _summed(told), output, COLUMNS)


@consumers.command("reset")
@click.argument("service", type=SERVICE)
@click.argument("consumer")
@click.argument("topic")
@yes_option
@database_option()
@kafka_option
def reset(service: str, consumer: str, topic: str, yes: bool, database_url: str, kafka: str) -> None:
    """Have CONSUMER of SERVICE take TOPIC from its beginning, as it is now: after it was deleted and made again.

    What the consumer has taken before is known by its position and passed over. Records of the former topic that are
    parked stay so, before those of the new one, with negative offsets.
    """

    async def step(operation: Operation) -> Change:
        return await operation.reset(await _log(kafka, topic))

    operating(database_url, service, consumer, step, yes=yes)


@consumers.command("replay")
@click.argument("service", type=SERVICE)
@click.argument("consumer")
@click.argument("topic")
@click.option("--partition", type=int, help="The partition that --offset is of.")
@click.option("--offset", type=int, help="Go back to this offset.")
@click.option("--at", type=click.DateTime(["%Y-%m-%dT%H:%M:%SZ"]), help="Go back to this instant (UTC), everywhere.")
@yes_option
@database_option()
@kafka_option
def replay(
    service: str,
    consumer: str,
    topic: str,
    partition: int | None,
    offset: int | None,
    at: datetime | None,
    yes: bool,
    database_url: str,
    kafka: str,
) -> None:
    """Have CONSUMER of SERVICE take facts of TOPIC again, from an offset of a partition or from an instant on.

    Marks go back too, so that what a false position hid is taken. A fact whose effect is there has none again: its
    request is known for 7 days. Facts older than that are decided anew.
    """
    if (at is None) == (offset is None) or (offset is None) != (partition is None):
        raise click.UsageError("give either --at, or --partition and --offset")

    async def step(operation: Operation) -> Change:
        log = await _log(kafka, topic)
        with _telling_kafka(kafka):
            if at is not None:
                back_to = await LogReader(kafka).offsets_at(topic, at.replace(tzinfo=UTC))
            else:
                back_to = {int(partition or 0): int(offset or 0)}
        offsets = await operation.next_offsets(topic)
        back_to = {number: first for number, first in back_to.items() if at is None or first < offsets.get(number, 0)}
        return await operation.replay(log, back_to, await _marks(kafka, topic, back_to, offsets))

    operating(database_url, service, consumer, step, yes=yes)


@consumers.command("skip")
@click.argument("service", type=SERVICE)
@click.argument("consumer")
@click.argument("topic")
@click.argument("partition", type=int)
@click.argument("offset", type=int)
@yes_option
@database_option()
@kafka_option
def skip(
    service: str, consumer: str, topic: str, partition: int, offset: int, yes: bool, database_url: str, kafka: str
) -> None:
    """Have CONSUMER of SERVICE pass over one record of TOPIC for good, at PARTITION and OFFSET.

    Either one it has not come past yet, such as the one it is halted for, or a parked one; redrive the key then.
    What the record says never takes effect here. Its bytes stay on record.
    """

    async def step(operation: Operation) -> Change:
        log = await _log(kafka, topic)
        record = None
        if log.begins.get(partition, 0) <= offset < log.ends.get(partition, 0):
            record = await _record(kafka, Partition(topic, partition), offset)
        return await operation.skip(log, partition, offset, record)

    operating(database_url, service, consumer, step, yes=yes)


@consumers.command("actions")
@click.argument("service", type=SERVICE)
@click.option("--last", type=click.IntRange(min=1), default=20, show_default=True, help="How many.")
@output_option
@database_option()
def actions(service: str, last: int, output: str, database_url: str) -> None:
    """List what operators did in SERVICE by command, latest first; in JSON with what was there before and after."""
    rows = asyncio.run(_actions(database_url, service, last))
    show(rows, output, ("id", "at", "who", "action", "about"))


async def _actions(url: str, service: str, last: int) -> list[Row]:
    async with reading(url, service) as connection:
        found = await connection.fetch(SQL["actions"], last)
    documents = ("about", "before", "after")
    return [{**row, **{name: json.loads(row[name]) for name in documents}} for row in found]


async def _list(url: str, services: tuple[str, ...] | list[str]) -> list[Row]:
    rows: list[Row] = []
    for service in services:
        try:
            async with reading(url, service) as connection:
                found = await connection.fetch(SQL["partitions"], None)
                rows += [{"service": service, **row} for row in found]
        except NotMigrated:
            click.echo(f"{service} is not migrated in this database", err=True)
    return rows


def _told(row: Row, ends: Mapping[Partition, int]) -> dict[str, object]:
    end, at = ends.get(Partition(str(row["topic"]), int(str(row["partition"]))), 0), int(str(row["next_offset"]))
    names = ("service", "consumer", "topic", "partition", "parked", "halted")
    return {**{name: row[name] for name in names}, "checkpoint": at, "end": end, "lag": max(0, end - at)}


def _summed(rows: list[dict[str, object]]) -> list[Row]:
    """One row per consumer and topic; `partition` is their number then."""
    groups: dict[tuple[object, ...], list[dict[str, object]]] = defaultdict(list)
    for row in rows:
        groups[row["service"], row["consumer"], row["topic"]].append(row)
    return [
        {
            **each[0],
            "partition": f"all {len(each)}",
            **{name: sum(int(str(row[name])) for row in each) for name in ("checkpoint", "end", "lag", "parked")},
        }
        for each in groups.values()
    ]


async def _log(kafka: str, topic: str) -> Log:
    reader = LogReader(kafka)
    with _telling_kafka(kafka):
        topic_id = (await reader.topic_ids([topic])).get(topic)
        if topic_id is None:
            raise CommandError(f"there is no topic {topic}", FAILED)
        partitions = await reader.partitions([topic])
        begins, ends = await reader.begins(partitions), await reader.ends(partitions)
    return Log(
        topic,
        topic_id,
        {each.number: at for each, at in begins.items()},
        {each.number: at for each, at in ends.items()},
    )


async def _marks(kafka: str, topic: str, back_to: Mapping[int, int], offsets: Mapping[int, int]) -> Marks:
    """Returns the position before the lowest of each source between where to go back to and where it stands."""
    marks: dict[tuple[int, str], int] = {}
    ranges = {Partition(topic, number): range(first, offsets.get(number, 0)) for number, first in back_to.items()}
    with _telling_kafka(kafka):
        async for page in LogReader(kafka).pages_of(ranges):
            for record in page:
                try:
                    headers = relay_headers.decode(record.headers)
                except Poison:
                    continue
                place = record.partition, headers.source
                marks[place] = min(headers.position - 1, marks.get(place, headers.position))
    return marks


async def _record(kafka: str, partition: Partition, offset: int) -> Record | None:
    with _telling_kafka(kafka):
        async for page in LogReader(kafka).pages(partition, offset, offset + 1):
            return page[0]
    return None


@contextmanager
def _telling_kafka(kafka: str) -> Iterator[None]:
    try:
        yield
    except (KafkaError, LogChanged) as error:
        raise CommandError(f"Kafka at {kafka}: {cause(error)}", FAILED) from error
