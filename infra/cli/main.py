"""`holdspace`: what operators do from a command line. One group per module; this one only puts them together."""

from pathlib import Path
from typing import Any

import click

from infra.cli import (
    consumers,
    database,
    figures,
    gates,
    importing,
    lag,
    mending,
    parked,
    read_models,
    relay,
    response_sla,
    sources,
    streams,
    token,
    topics,
)
from infra.cli.errors import CommandError
from infra.local.stack_error import StackError


class Operators(click.Group):
    """What a person can put right is a line and an exit code, wherever it comes from."""

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - as click has it
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise  # click's own: whoever read what we print has left.
        except (OSError, StackError) as error:  # a full disk; a local stack that was never started
            raise CommandError(str(error)) from error


@click.group(cls=Operators, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
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
    HOLDSPACE_MESSAGING, HOLDSPACE_RESPONSE_SLA, HOLDSPACE_SCHEDULING, HOLDSPACE_TOKEN. What is not given is taken from
    the local stack, if one runs on this machine.

    Exit codes: 0 done; 1 could not be done, or not all of it; 2 asked wrongly; 3 done, but for what is named (import).
    """


for each in (
    importing.import_command,
    mending.enrolment,
    mending.conversation,
    figures.figures,
    lag.lag,
    streams.stream,
    read_models.read_model,
    parked.parked,
    consumers.consumers,
    sources.sources,
    topics.topics,
    relay.relay,
    gates.gates,
    response_sla.response_sla,
    database.database,
    token.token,
):
    holdspace.add_command(each)


def main() -> None:
    holdspace(prog_name="holdspace")
