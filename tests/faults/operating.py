"""What an operator would type."""

import asyncio

from click.testing import CliRunner

from infra.cli.main import holdspace
from tests.faults.rig import Rig


class CommandFailed(Exception):  # noqa: N818 - names the finding
    """A command of the operators ended with another exit code than 0."""


async def operate(rig: Rig, *arguments: str, kafka: bool = True) -> str:
    """Runs `holdspace` on the rig's servers and returns what it printed. Raises CommandFailed."""
    where = ["--database-url", rig.platform.database_url, *(["--kafka", rig.servers.kafka] if kafka else [])]
    told = await asyncio.to_thread(CliRunner().invoke, holdspace, [*arguments, *where])
    rig.actions.append(f"holdspace {' '.join(arguments)}: {told.exit_code}")
    if told.exit_code:
        raise CommandFailed(f"holdspace {' '.join(arguments)}: {told.output}{told.exception!r}")
    return told.output
