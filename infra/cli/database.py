"""`holdspace database`: what a database needs before the services migrate it."""

import asyncio

import click

from infra import database as preparing
from infra.cli.errors import using_database
from infra.cli.where import database_option


@click.group("database")
def database() -> None:
    """The database the services share; each has its own schema in it."""


@database.command("prepare")
@database_option()
def prepare(database_url: str) -> None:
    """Create the schemas and roles of all services where they are missing, and grant the roles to the URL's login.

    The login needs CREATEROLE and CREATE on the database. Run it once before the first start, and again after an
    upgrade that brings a service; run twice it changes nothing. Tables come with the services' own role migrate.
    """
    with using_database(database_url):
        asyncio.run(preparing.prepare(database_url))
    click.echo(f"prepared: {', '.join(preparing.SERVICES)}")
