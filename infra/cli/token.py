"""`holdspace token`: a token of the local stack, for trying an API by hand."""

from collections.abc import Sequence
from typing import Literal

import click

from infra.cli.errors import ASKED_WRONGLY, CommandError
from infra.cli.where import local_stack


@click.command("token")
@click.option("--subject", required=True, metavar="NAME", help="The service, or the person, that the token speaks for.")
@click.option("--kind", type=click.Choice(("service", "person")), default="service", show_default=True)
@click.option(
    "--scope", multiple=True, metavar="RIGHT", help="A right such as messaging.send; again, or several with blanks."
)
def token(subject: str, kind: Literal["service", "person"], scope: Sequence[str]) -> None:
    """Print a token signed with the local stack's key, good for 12 hours. Only local services accept it.

    A service that acts for the persons it names needs the right act_for as well.
    """
    stack = local_stack()
    if stack is None:
        raise CommandError("tokens are made for the local stack only, which is not installed here", ASKED_WRONGLY)
    click.echo(stack.token(subject, kind, tuple(right for several in scope for right in several.split())))
