"""What a command answers: a table for people, or one JSON object a line for programs."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.table import Table

Command = TypeVar("Command", bound=Callable[..., Any])
Row = Mapping[str, object]

PIPED_COLUMNS = 1_000  # Nothing is cut where nobody's window is its limit.


def output_option(command: Command) -> Command:
    return click.option(
        "--output",
        type=click.Choice(("table", "json")),
        default="table",
        show_default=True,
        help="A table, or one JSON object a line.",
    )(command)


def show(rows: Iterable[Row], output: str, columns: Sequence[str], title: str | None = None) -> None:
    """Prints rows as they come for JSON; a table is printed once all are there."""
    if output == "json":
        for row in rows:
            click.echo(json.dumps(row, default=_text))
        return
    table = Table(*columns, title=title, title_justify="left")
    for row in rows:
        table.add_row(*(_text(row[column]) for column in columns))
    console = Console()
    if not console.is_terminal:
        console.width = PIPED_COLUMNS
    console.print(table)


def _text(value: object) -> str:
    match value:
        case None:
            return "-"
        case datetime():
            return value.isoformat().replace("+00:00", "Z")
        case _:
            return str(value)
