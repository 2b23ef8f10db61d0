"""`holdspace relay`: after a restore."""

import asyncio

import click

from infra.cli.comparing import lanes_of
from infra.cli.errors import FAILED, CommandError
from infra.cli.gates import show_differences, verified
from infra.cli.operations import tell, who_asks, yes_option
from infra.cli.store import connected
from infra.cli.where import SERVICE, database_option
from kernel.consumers.operating import Change, only_shown_unless, put_on_record
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
    keeps consumers from taking the new ones for those. Stop the relay first; start it afterwards: it states every
    standing, age and enrolment anew, and copies of what was lost are void. The copies that differ until then are shown.
    """
    click.echo(f"epoch {asyncio.run(_reconcile(database_url, service))}")
    if not lanes_of(service):
        return
    differences = verified(database_url, service, None, 0)
    show_differences(differences, "table")
    click.echo(f"{len(differences)} copies to be stated anew. Start the relay, then: holdspace gates verify {service}")


@relay.command("republish")
@click.argument("service", type=SERVICE)
@click.option("--after", type=click.IntRange(min=0), default=0, show_default=True, help="Position; 0: from the first.")
@yes_option
@database_option()
def republish(service: str, after: int, yes: bool, database_url: str) -> None:
    """After a topic of SERVICE was deleted and made again: have its relay publish its facts once more.

    All topics get them; consumers know by their positions what they have taken. Stop the relay first; start it
    afterwards.
    """
    tell(asyncio.run(_republish(database_url, service, after, yes=yes)), yes=yes)


async def _republish(url: str, service: str, after: int, *, yes: bool) -> Change:
    async with connected(url, service, "owner") as connection:
        try:
            async with source.no_relay(connection, service), only_shown_unless(connection, yes):
                former = await source.publish_again(connection, after)
                relayed = {"relayed": former}, {"relayed": min(after, former)}
                change = Change("republish", {"service": service}, *relayed)
                await put_on_record(connection, who_asks(), change)
                return change
        except WrongSetting as error:
            raise CommandError(str(error), FAILED) from error


async def _reconcile(url: str, service: str) -> int:
    async with connected(url, service, "owner") as connection:
        try:
            return await source.reconcile(connection, service)
        except WrongSetting as error:
            raise CommandError(str(error), FAILED) from error
