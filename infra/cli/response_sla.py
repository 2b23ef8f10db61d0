"""`holdspace response-sla`: its inputs made again out of the topics."""

import asyncio
import secrets
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click
from aiokafka.errors import KafkaError
from prometheus_client import CollectorRegistry

from infra.cli.errors import FAILED, CommandError, cause, using_database
from infra.cli.store import reading
from infra.cli.where import database_option, kafka_option

if TYPE_CHECKING:
    from services.response_sla.domain.inputs import SentMessage
    from services.response_sla.domain.wait import Parties
    from services.response_sla.rebuilding import Differences, Known, Told

SHOWN_MAX = 20


@click.group("response-sla")
def response_sla() -> None:
    """What response-SLA made of other services' facts."""


@response_sla.command("rebuild")
@click.option("--yes", is_flag=True, help="Take in what is missing and evaluate again what would be other.")
@click.option("--cell", default="main", show_default=True, help="The cell of messaging whose store is compared.")
@click.option("--messaging-database-url", help="Messaging's database, where it is another one.")
@kafka_option
@database_option()
def rebuild_command(yes: bool, cell: str, messaging_database_url: str | None, kafka: str, database_url: str) -> None:
    """Make response-SLA's inputs again out of the topics, beside those it has, and say where they differ.

    Without --yes nothing is changed. With it, what is missing is taken in and the waits of conversations that would be
    others are evaluated again, as facts: figures as known before stay as they were. The service may run meanwhile. What
    only response-SLA has is named and never removed; so are messages that messaging's store holds no more, as after a
    restore from backup.

    Exit code 1: something differs, or with --yes still does.
    """
    if asyncio.run(_rebuild(database_url, messaging_database_url or database_url, cell, kafka, yes=yes)):
        raise SystemExit(FAILED)


async def _rebuild(url: str, messaging_url: str, cell: str, kafka: str, *, yes: bool) -> bool:
    """Returns whether something differs in the end."""
    from services.response_sla import rebuilding

    async with reading(messaging_url, "messaging") as connection:
        held = await rebuilding.sent_by(connection)
    known, told, found = await _compared(url, kafka)
    _show(known, told, found)
    lost = rebuilding.no_longer_sent(known, f"messaging/{cell}", held)
    click.echo(f"no longer in messaging/{cell}: {len(lost)} messages")
    _name(lost)
    if not yes:
        click.echo("nothing was changed")
        return _differs(found)
    await _take_in(url, found)
    known, told, found = await _compared(url, kafka)
    click.echo("after what was missing has been taken in:")
    _show(known, told, found)
    return _differs(found)


async def _compared(url: str, kafka: str) -> "tuple[Known, Told, Differences]":
    from kernel.consumers.reader import LogChanged
    from services.response_sla import rebuilding

    now = datetime.now(UTC)
    async with reading(url, "response_sla") as connection:
        known = await rebuilding.read_known(connection)  # First: what it has then, the topics have too.
        parked = await rebuilding.read_parked(connection)
    try:
        told = await rebuilding.read_told(kafka, parked, now)
    except (KafkaError, LogChanged) as error:
        raise CommandError(f"Kafka at {kafka}: {cause(error)}", FAILED) from error
    return known, told, rebuilding.compare(told, known, now)


async def _take_in(url: str, found: "Differences") -> None:
    from kernel.commands import CommandPath
    from kernel.freshness import NoLane
    from kernel.ids import RandomIds
    from kernel.metrics import Metrics
    from kernel.store.postgres import PostgresStore
    from services.response_sla import rebuilding
    from services.response_sla.wiring import RESPONSE_SLA

    metrics = Metrics(CollectorRegistry())
    with using_database(url):
        store = PostgresStore(url, RESPONSE_SLA.name, metrics)
        await store.open()
        try:
            path = CommandPath(
                RESPONSE_SLA.name, store, RESPONSE_SLA.own_facts, RESPONSE_SLA.routes, RandomIds(), metrics, NoLane()
            )
            await rebuilding.take_in(found, path, secrets.token_hex(16), datetime.now(UTC))
        finally:
            await store.close()


def _differs(found: "Differences") -> bool:
    return bool(
        found.missing
        or found.missing_about
        or found.missing_turns
        or found.only_here
        or found.about_only_here
        or found.others
    )


def _show(known: "Known", told: "Told", found: "Differences") -> None:
    click.echo("topics: {:,} messages, {:,} facts about people".format(*told.counts))
    click.echo("here: {:,} messages, {:,} facts about people".format(*known.counts))
    if told.left:
        click.echo(f"left out: {told.left} records that are parked or cannot be read")
    for partition in told.begun:
        click.echo(f"{partition.topic}, partition {partition.number}, does not hold its first facts any more")
    click.echo(f"missing here: {found.missing_messages} messages, {len(found.missing_about)} facts about people")
    if found.missing_turns:
        click.echo(f"missing here: the roles of {len(found.missing_turns)} conversations turned")
    click.echo(f"only here: {len(found.only_here)} messages, {found.about_only_here} facts about people")
    _name(found.only_here)
    click.echo(f"waits would be others: {len(found.others)} conversations")
    for parties in found.others[:SHOWN_MAX]:
        click.echo(f"  {parties.conversation_id}")


def _name(messages: "Iterable[tuple[Parties, SentMessage]]") -> None:
    for parties, message in list(messages)[:SHOWN_MAX]:
        click.echo(f"  {parties.conversation_id} message {message.sequence}, epoch {message.source.epoch}")
