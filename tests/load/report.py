"""What a bench found, shown to people, and compared with what was found before."""

from typing import Any

from rich.console import Console
from rich.table import Table

TOLERANCE = 0.2


def show(found: dict[str, Any]) -> None:
    """Prints a table of goals, every figure with its least and most."""
    table = Table(title="Median, least and most of the rounds", title_justify="left")
    for column in ("id", "goal"):
        table.add_column(column)
    for column in ("asked", "median", "least", "most", ""):
        table.add_column(column, justify="right")
    for group in found.values():
        for goal in group["goals"]:
            figures = (f"{goal[name]:.3g}" for name in ("median", "lowest", "highest"))
            met = {None: "", True: "met", False: "[bold red]missed"}[goal["is_met"]]
            table.add_row(goal["id"], goal["says"], asked(goal), *figures, met)
    Console(width=160).print(table)


def asked(goal: dict[str, Any]) -> str:
    """Returns the limit in words."""
    if goal["least"] is not None:
        return f"at least {goal['least']:g}"
    return f"at most {goal['most']:g}" if goal["most"] is not None else ""


def worse(found: dict[str, Any], committed: dict[str, Any]) -> list[str]:
    """Returns a line for each goal whose figure is more than TOLERANCE worse than the committed one."""
    known = {(goal["id"], goal["says"]): goal for group in committed.values() for goal in group["goals"]}
    lines = []
    for goal in (goal for group in found.values() for goal in group["goals"]):
        before = known.get((goal["id"], goal["says"]))
        if before is None or goal["is_met"] is None:
            continue
        change = goal["median"] / before["median"] - 1
        if (change if goal["most"] is not None else -change) > TOLERANCE:
            lines.append(f"{goal['id']} {goal['says']}: {goal['median']:.3g}, was {before['median']:.3g}")
    return lines
