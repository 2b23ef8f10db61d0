"""`holdspace relay`: after a restore."""

import asyncio

import click

from infra.cli.errors import FAILED, CommandError
from infra.cli.store import connected
from infra.cli.where import SERVICE, database_option
from kernel.errors import WrongSetting
from kernel.relay import source


@click.group("relay")
def relay() -> None:
    """What publishes a service's facts to Kafka."""


@relay.command("reconcile")
@click.argument("service", type=SERVICE)
@click.confirmation_option(
    prompt="Only after the database was restored from a backup: consumers will take it for a new source. Go on?"
)
@database_option()
def reconcile(service: str, database_url: str) -> None:
    """After SERVICE's database was restored from a backup: raise its epoch, so that its relay may publish again.

    Facts that were published after the backup are lost to the store, and new ones get their positions. A new epoch
    keeps consumers from taking the new ones for those. Stop the relay first; start it afterwards.
    """
    click.echo(f"epoch {asyncio.run(_reconcile(database_url, service))}")


async def _reconcile(url: str, service: str) -> int:
    async with connected(url, service, "owner") as connection:
        try:
            return await source.reconcile(connection, service)
        except WrongSetting as error:
            raise CommandError(str(error), FAILED) from error
