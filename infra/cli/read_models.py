"""`holdspace read-model`: rebuild a service's rows from its facts, and prove that they are the same."""

import asyncio

import asyncpg
import click

from infra.cli.errors import FAILED, CommandError, using_database
from infra.cli.progress import showing
from infra.cli.store import SQL, definition_of
from infra.cli.where import SERVICE, database_option
from kernel.read_model import digest
from kernel.rebuild import DigestsDiffer, Rebuilt, reader, rebuild


@click.group("read-model")
def read_model() -> None:
    """Rebuild or compare a service's rows; the facts they come from are never changed."""


@read_model.command("rebuild")
@click.argument("service", type=SERVICE)
@click.option("--even-if-different", is_flag=True, help="Swap although the rows differ: where the live ones are wrong.")
@database_option()
def rebuild_command(service: str, even_if_different: bool, database_url: str) -> None:
    """Build the rows of SERVICE again beside the live ones, and swap the two if they are equal.

    Readers go on meanwhile; new facts wait for the swap, a moment. Where the rows differ nothing is swapped and the
    exit code is 1: the live rows were changed by hand, or by a fault. Nothing is sent, decided or published by it.
    """
    rebuilt = asyncio.run(_rebuild(database_url, service, even_if_different))
    click.echo(f"live     {rebuilt.live_digest}")
    click.echo(f"rebuilt  {rebuilt.rebuilt_digest}")
    click.echo(f"position {rebuilt.position}: swapped")


@read_model.command("digest")
@click.argument("service", type=SERVICE)
@database_option()
def digest_command(service: str, database_url: str) -> None:
    """Print the position that the rows of SERVICE have reached, and a digest over all of them.

    Equal rows at equal positions have equal digests, on whatever machine they were built.
    """
    asyncio.run(_digest(database_url, service))


async def _rebuild(url: str, service: str, even_if_different: bool) -> Rebuilt:
    definition = definition_of(service)
    with using_database(url), showing() as show:

        def progress(position: int, head: int) -> None:
            show(position, head, f"{position:,} of {head:,} facts")

        try:
            return await rebuild(
                url,
                service,
                definition.read_model,
                definition.own_facts,
                progress,
                even_if_different=even_if_different,
            )
        except (DigestsDiffer, RuntimeError) as error:
            raise CommandError(str(error), FAILED) from error


async def _digest(url: str, service: str) -> None:
    schema = f"{service}_read"
    with using_database(url):
        connection = await reader(url, service, schema)
        try:
            # One snapshot, so that the digest is that of the position.
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                found = await connection.fetchrow(SQL["read_model"])
                rows = await digest(connection, schema)
        except asyncpg.UndefinedTableError:
            raise CommandError(f"{service} has no read model yet: start its role projections", FAILED) from None
        finally:
            await connection.close()
    is_ours = found["definition"] == definition_of(service).read_model.definition
    click.echo(f"digest   {rows}")
    click.echo(f"position {found['position']}")
    if not is_ours:
        click.echo("The rows were built by another release; this one builds them again when it starts.", err=True)
