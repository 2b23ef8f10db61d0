"""Another library for event sourcing that replays as many of its own events, in an environment of its own.

It is no dependency of the platform: `make bench PEERS=1` installs it into the folder of the run.
"""

import asyncio
import json
import sys
from pathlib import Path
from urllib.parse import urlsplit

from infra.local.stack_error import StackError
from tests.load.measuring import Reading
from tests.load.stack import Stack

VERSION = "9.4.0"
EVENTS = 50_000  # it takes minutes to store more; its rate does not depend on how many there are
SCRIPT = Path(__file__).parent / "peers" / "replay_eventsourcing.py"


async def prepare(stack: Stack, database_url: str) -> None:
    """Installs the library and lets it store its events. Raises StackError when it cannot be installed."""
    python = _python(stack)
    if not python.exists():
        await _run(sys.executable, "-m", "venv", str(python.parents[1]))
        await _run(str(python), "-m", "pip", "install", "-q", f"eventsourcing[postgres]=={VERSION}")
    await _run(str(python), str(SCRIPT), "store", *_arguments(database_url))


async def measure(stack: Stack, database_url: str) -> Reading:
    told = await _run(str(_python(stack)), str(SCRIPT), "replay", *_arguments(database_url))
    return {"per_second": float(json.loads(told)["per_second"])}


def _python(stack: Stack) -> Path:
    return stack.folder / "eventsourcing" / "bin" / "python"


def _arguments(database_url: str) -> tuple[str, ...]:
    where = urlsplit(database_url)
    return (str(where.hostname), str(where.port), where.path[1:], str(where.username), str(EVENTS))


async def _run(*command: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    told, errors = await process.communicate()
    if process.returncode:
        raise StackError(f"eventsourcing {VERSION} cannot be measured: {errors.decode().strip().splitlines()[-1:]}")
    return told.decode()
