"""Another library for event sourcing, in an environment of its own: `make bench PEERS=1` installs it for the run.

It is no dependency of the platform.
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from infra.local.stack_error import StackError
from tests.load.stack import Stack

NAME = "eventsourcing 9.5.6"
REQUIREMENT = "eventsourcing[postgres]==9.5.6"
SCRIPTS = Path(__file__).parent / "peers"


async def install(stack: Stack) -> None:
    """Raises StackError when it cannot be installed."""
    python = _python(stack)
    if not python.exists():
        await _run(sys.executable, "-m", "venv", str(python.parents[1]))
        await _run(str(python), "-m", "pip", "install", "-q", REQUIREMENT)


async def run(stack: Stack, script: str, database_url: str, *arguments: str) -> Any:
    """Runs one of the scripts on the database and returns what it tells; None when it tells nothing."""
    where = urlsplit(database_url)
    place = (str(where.hostname), str(where.port), where.path[1:], str(where.username))
    told = await _run(str(_python(stack)), str(SCRIPTS / script), *place, *arguments)
    return json.loads(told) if told else None


def _python(stack: Stack) -> Path:
    return stack.folder / "eventsourcing" / "bin" / "python"


async def _run(*command: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    told, errors = await process.communicate()
    if process.returncode:
        raise StackError(f"{NAME} cannot be measured: {errors.decode().strip().splitlines()[-1:]}")
    return told.decode()
