"""`make bench`: how close the platform comes to the limits of what it stands on, as ratios measured in the same run."""

import argparse
import signal
import sys
from pathlib import Path
from typing import Any

import uvloop

from infra.local.stack_error import StackError
from tests.load import results
from tests.load.groups import GROUPS
from tests.load.measuring import Options, measure
from tests.load.report import show, worse
from tests.load.stack import running

LATEST = Path(".local") / "bench.json"


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
    # What a handler raises may be lost in whatever runs at that moment. Of SIGINT the loop makes an end of its task; a
    # shell lets what it starts in the background ignore it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        keep = [LATEST, results.COMMITTED] if arguments.save else [LATEST]
        found = bench(wanted, Options(arguments.rounds, arguments.peers), keep)
    except StackError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit("interrupted; the servers are stopped")
    if arguments.check and (lines := worse(found, results.load(results.COMMITTED))):
        sys.exit("\n".join(["worse than committed:", *lines]))


def bench(wanted: list[str], options: Options, keep: list[Path]) -> dict[str, Any]:
    """Measures these groups, one after another. Returns what each found, and keeps it in these files at once."""
    found: dict[str, Any] = {}
    with running(max(GROUPS[name].room_gib for name in wanted), _say) as stack:
        for name in wanted:
            measured = uvloop.run(measure(GROUPS[name], stack, options, _say))
            found[name] = results.as_json(GROUPS[name], measured)
            for path in keep:
                results.save(path, {name: found[name]})
    show(found)
    return found


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
