"""`make bench`: how close the platform comes to the limits of what it stands on, as ratios measured in the same run."""

import argparse
import signal
import sys
from pathlib import Path
from typing import Any, NoReturn

import uvloop
from rich.console import Console
from rich.table import Table

from infra.local.stack_error import StackError
from tests.load import results
from tests.load.groups import GROUPS
from tests.load.measuring import Options, measure
from tests.load.stack import running

LATEST = Path(".local") / "bench.json"
TOLERANCE = 0.2


def show(found: dict[str, Any]) -> None:
    """Prints a table of goals, every figure with its least and most."""
    table = Table(title="Goals: median, least and most of the rounds", title_justify="left")
    for column, justify in (("id", "left"), ("goal", "left"), ("asked", "right"), ("median", "right")):
        table.add_column(column, justify="right" if justify == "right" else "left")
    for column in ("least", "most", ""):
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
    """Returns a line for each goal that is more than TOLERANCE worse than what was committed."""
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


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--only", default="", help="groups, such as P1,P7")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peers", action="store_true", help="measure other libraries beside ours")
    parser.add_argument("--check", action="store_true", help="fail when a goal is 20 %% worse than as committed")
    parser.add_argument("--save", action="store_true", help="put what is found into docs/performance.json")
    arguments = parser.parse_args()
    wanted = [name for name in arguments.only.upper().split(",") if name] or list(GROUPS)
    if unknown := set(wanted) - set(GROUPS):
        parser.error(f"no such group: {', '.join(sorted(unknown))}; there are {', '.join(GROUPS)}")
    if arguments.rounds < 1:
        parser.error("--rounds takes a number from 1 on")
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        found = bench(wanted, Options(arguments.rounds, arguments.peers))
    except StackError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit("interrupted; the servers are stopped")
    if arguments.check and (lines := worse(found, results.load(results.COMMITTED))):
        sys.exit("\n".join(["worse than committed:", *lines]))
    if arguments.save:
        results.save(results.COMMITTED, found)


def bench(wanted: list[str], options: Options) -> dict[str, Any]:
    """Measures these groups, one after another. Returns and keeps what each found."""
    found: dict[str, Any] = {}
    with running(_say) as stack:
        for name in wanted:
            measured = uvloop.run(measure(GROUPS[name], stack, options, _say))
            found[name] = results.as_json(GROUPS[name], measured)
            results.save(LATEST, {name: found[name]})
    show(found)
    return found


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
