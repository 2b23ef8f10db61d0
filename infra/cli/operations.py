"""What changes a consumer: shown first, done with --yes, on record afterwards."""

import asyncio
import getpass
import json
import socket
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import asyncpg
import click

from infra.cli.errors import FAILED, CommandError
from infra.cli.store import connected
from kernel.consumers.operating import Change, Operation, Unsafe

Command = TypeVar("Command", bound=Callable[..., Any])


def yes_option(command: Command) -> Command:
    return click.option("--yes", is_flag=True, help="Do it. Without it, what would be done is only shown.")(command)


def operating(
    url: str, service: str, consumer: str, step: Callable[[Operation], Awaitable[Change]], *, yes: bool
) -> None:
    """Prints what the step changes, as JSON; raises CommandError when it is refused."""
    change = asyncio.run(_operate(url, service, consumer, step, yes=yes))
    tell(change, yes=yes)


def tell(change: Change, *, yes: bool) -> None:
    told = {"action": change.action, "about": change.about, "before": change.before, "after": change.after}
    click.echo(json.dumps(told, indent=2, default=str))
    click.echo("done" if yes else "nothing is done yet: --yes does it", err=True)


def who_asks() -> str:
    """Returns the person at this machine, as well as it can be told."""
    return f"{getpass.getuser()}@{socket.gethostname()}"


async def _operate(
    url: str, service: str, consumer: str, step: Callable[[Operation], Awaitable[Change]], *, yes: bool
) -> Change:
    async with connected(url, service, "owner") as connection:
        try:
            return await step(Operation(connection, consumer, who_asks(), yes))
        except Unsafe as error:
            raise CommandError(f"refused: {error}", FAILED) from error
        except asyncpg.LockNotAvailableError as error:
            raise CommandError(f"{consumer} is at work on a batch; try again", FAILED) from error
