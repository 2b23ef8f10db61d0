"""How far a long command has come: a bar on a terminal, elsewhere a line now and then. Always on standard error."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

LINE_SECONDS = 5.0

Show = Callable[[int, int, str], None]
"""Takes how much is done, of how much, and what to say."""


@contextmanager
def showing() -> Iterator[Show]:
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _occasionally(console)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total, text: bar.update(task, completed=done, total=total, description=text)


def _occasionally(console: Console) -> Show:
    last = time.monotonic()

    def show(done: int, total: int, text: str) -> None:
        nonlocal last
        if time.monotonic() - last >= LINE_SECONDS:
            last = time.monotonic()
            console.print(f"{text} ({100 * done // max(total, 1)} %)", highlight=False, soft_wrap=True)

    return show
