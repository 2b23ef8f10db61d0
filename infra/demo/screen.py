"""What the demo shows. Every number comes from a running service."""

import time
from collections.abc import Sequence

from rich.console import Console
from rich.panel import Panel
from rich.table import Table


class Unexpected(Exception):  # noqa: N818 - names the finding
    """A service did not do what the demo was to show."""


class Screen:
    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False)
        self._began = time.monotonic()

    def act(self, title: str, text: str) -> None:
        self._console.print()
        self._console.print(Panel(text, title=f"[bold]{title}", title_align="left", border_style="cyan"))

    def line(self, text: str) -> None:
        self._console.print(f"[dim]{time.monotonic() - self._began:6.1f} s[/]  {text}")

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        table = Table(title=title, title_justify="left", title_style="bold", header_style="cyan")
        for column in columns:
            table.add_column(column)
        for row in rows:
            table.add_row(*(str(cell) for cell in row))
        self._console.print(table)

    def expect(self, holds: bool, promise: str) -> None:
        """Shows a promise that was kept. Raises Unexpected for one that was not."""
        if not holds:
            self._console.print(f"        [bold red]✗ {promise}")
            raise Unexpected(promise)
        self._console.print(f"        [green]✓[/] {promise}")
