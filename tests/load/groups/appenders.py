"""P1: how many processes may append to one store, by how long a commit takes. The figure behind `appenders_max`."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial

from tests.load.groups.append import CALLERS, FACTS_BEFORE, fill
from tests.load.measuring import Cell, Figure, Goal, Group, Options, Reading
from tests.load.stack import Stack

PROCESSES = (1, 2, 4, 8)
COMMIT_MILLISECONDS = (0.0, 0.2, 1.0, 3.0, 5.0)  # added to what the disk takes
SECONDS = 2.0


def name_of(processes: int, commit_milliseconds: float) -> str:
    commit = f"commits {commit_milliseconds:g} ms longer" if commit_milliseconds else "commits as the disk takes them"
    return f"{processes} appending process{'es' if processes > 1 else ''}, {commit}"


async def appending(stack: Stack, url: str, processes: int, commit_milliseconds: float) -> Reading:
    """Returns the rate of all together, and the worst p50_ms and p99_ms of any."""
    # The server waits this long before it flushes a commit, whether or not others commit.
    for setting in (f"commit_delay = {commit_milliseconds * 1000:.0f}", "commit_siblings = 0"):
        await stack.administer(f"alter system set {setting}")
    await stack.administer("select pg_reload_conf()")
    command = [sys.executable, "-m", "tests.load.appending_process", url, str(CALLERS // processes), str(SECONDS)]
    command.append("2" if processes == 1 else "1")
    pipes = {"stdin": asyncio.subprocess.PIPE, "stdout": asyncio.subprocess.PIPE}
    started = [await asyncio.create_subprocess_exec(*command, **pipes) for _ in range(processes)]
    try:
        for process in started:
            assert process.stdout is not None
            assert await process.stdout.readline() == b"ready\n"
        told = [
            json.loads(out) for out, _ in await asyncio.gather(*(process.communicate(b"\n") for process in started))
        ]
    finally:
        for process in started:
            if process.returncode is None:
                process.kill()
                await process.wait()
    return {
        "per_second": sum(reading["per_second"] for reading in told),
        **{figure: max(reading[figure] for reading in told) for figure in ("p50_ms", "p99_ms")},
    }


@asynccontextmanager
async def open_cells(stack: Stack, options: Options) -> AsyncIterator[Sequence[Cell]]:
    async with stack.database("messaging") as url:
        await fill(url, FACTS_BEFORE)
        await stack.age_log()
        yield [
            Cell(name_of(processes, commit), partial(appending, stack, url, processes, commit))
            for commit in COMMIT_MILLISECONDS
            for processes in PROCESSES
        ]
        for setting in ("commit_delay", "commit_siblings"):
            await stack.administer(f"alter system reset {setting}")
        await stack.administer("select pg_reload_conf()")


def _figures(processes: int, commit: float) -> Sequence[Goal]:
    name = name_of(processes, commit)
    rate = Goal(
        "P1", f"{name}: of the rate of one", Figure(name, "per_second"), Figure(name_of(1, commit), "per_second")
    )
    return [rate, Goal("P1", f"{name}: p99 in ms", Figure(name, "p99_ms"))]


GROUP = Group(
    "Appending processes",
    [goal for commit in COMMIT_MILLISECONDS for processes in PROCESSES for goal in _figures(processes, commit)],
    open_cells,
    rounds_max=3,
)
