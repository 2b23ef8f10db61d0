"""`holdspace topics`: Kafka brought in line with infra/topics.yaml."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import click

from infra import topics as declared
from infra.cli.brokers import using_kafka
from infra.cli.errors import FAILED, CommandError
from infra.cli.where import kafka_option, local_stack

Command = TypeVar("Command", bound=Callable[..., Any])
Settings = tuple[int, int | None]  # copies, and partitions where they are not as declared

PRODUCTION: Settings = (3, None)


def settings_options(command: Command) -> Command:
    replication = click.option(
        "--replication", type=click.IntRange(min=1), help="Copies of every topic. Default: 3; 1 for the local stack."
    )
    partitions = click.option(
        "--partitions",
        type=click.IntRange(min=1),
        help="Partitions of every topic in place of the declared ones, for a laptop; the local stack's by default.",
    )
    return replication(partitions(command))


@click.group("topics")
def topics() -> None:
    """Compare Kafka's topics with infra/topics.yaml, or create what is missing. Nothing is ever deleted."""


@topics.command("plan")
@kafka_option
@settings_options
def plan(kafka: str, replication: int | None, partitions: int | None) -> None:
    """Print what `apply` would do, a line each; nothing when Kafka is as declared."""
    copies, count = _settings(kafka, replication, partitions)
    with _telling(kafka):
        todo = declared.plan(kafka, declared.load(), replication=copies, partitions=count)
    _print(declared.describe(todo))


@topics.command("apply")
@kafka_option
@settings_options
def apply(kafka: str, replication: int | None, partitions: int | None) -> None:
    """Create missing topics and set what is set otherwise. Partition counts are never changed."""
    copies, count = _settings(kafka, replication, partitions)
    with _telling(kafka):
        done = declared.apply(kafka, declared.load(), replication=copies, partitions=count)
    click.echo(f"{len(done.create)} topics created, {len(done.change)} changed")


@topics.command("drift")
@kafka_option
@settings_options
def drift(kafka: str, replication: int | None, partitions: int | None) -> None:
    """Print every way in which Kafka differs, also those `apply` does not mend; exit code 1 when there are any."""
    copies, count = _settings(kafka, replication, partitions)
    with _telling(kafka):
        lines = declared.drift(kafka, declared.load(), replication=copies, partitions=count)
    _print(lines)
    if lines:
        raise click.exceptions.Exit(FAILED)


@contextmanager
def _telling(kafka: str) -> Iterator[None]:
    try:
        with using_kafka(kafka):
            yield
    except declared.TopicsError as error:
        raise CommandError(str(error), FAILED) from error


def _settings(kafka: str, replication: int | None, partitions: int | None) -> Settings:
    """Returns what was asked for; for the rest what the local stack has, if this is its Kafka."""
    stack = local_stack()
    local = stack.topic_settings(kafka) if stack is not None else None
    copies, count = local or PRODUCTION
    return replication or copies, partitions or count


def _print(lines: Sequence[str]) -> None:
    for line in lines:
        click.echo(line)
