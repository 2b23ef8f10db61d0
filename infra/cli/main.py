"""`holdspace`: what operators do from a command line. One group per module; this one only puts them together."""

import sys
from pathlib import Path

import click

from infra.cli import database, figures, importing, lag, parked, read_models, relay, streams, token, topics
from infra.cli.errors import FAILED, CommandError
from infra.local.stack_error import StackError


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="holdspace")
@click.option(
    "--local",
    envvar="HOLDSPACE_LOCAL",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the local stack (make up), used where no address is given. Default: .local of the checkout.",
)
def holdspace(local: Path | None) -> None:
    """Operate a Holdspace installation.

    Addresses and the token come from options or the environment: HOLDSPACE_DATABASE_URL, HOLDSPACE_KAFKA,
    HOLDSPACE_MESSAGING, HOLDSPACE_RESPONSE_SLA, HOLDSPACE_TOKEN. What is not given is taken from the local stack, if
    one runs on this machine.

    Exit codes: 0 done; 1 could not be done, or not all of it; 2 asked wrongly.
    """


for each in (
    importing.import_command,
    figures.figures,
    lag.lag,
    streams.stream,
    read_models.read_model,
    parked.parked,
    topics.topics,
    relay.relay,
    database.database,
    token.token,
):
    holdspace.add_command(each)


def main() -> None:
    try:
        holdspace(prog_name="holdspace")
    except (
        OSError,
        StackError,
    ) as error:  # A full disk, a stack that was never started: a line, not a stack of frames.
        CommandError(str(error)).show()
        sys.exit(FAILED)
