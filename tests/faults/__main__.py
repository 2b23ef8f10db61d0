"""`make faults`: breaks the running platform in every way it knows, and has the checker look."""

import argparse
import asyncio
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path

from infra.local.stack_error import StackError
from tests.faults import results
from tests.faults import rig as rigs
from tests.faults.history import History
from tests.faults.injected import FAULTS
from tests.faults.rig import Rig
from tests.faults.running import Outcome, Timing, play

KEPT = Path(".local") / "faults"


def main() -> None:
    parser = argparse.ArgumentParser(prog="make faults", description=__doc__)
    parser.add_argument("--only", default="", help=f"faults, such as kill,stop; there are {', '.join(FAULTS)}")
    parser.add_argument("--rounds", type=int, default=1, help="of each fault, each with a seed of its own")
    parser.add_argument("--seed", type=int, default=1, help="of the first round")
    parser.add_argument("--save", action="store_true", help="put what is found into docs/reliability.md")
    arguments = parser.parse_args()
    wanted = [name for name in arguments.only.split(",") if name] or list(FAULTS)
    if unknown := set(wanted) - set(FAULTS):
        parser.error(f"no such fault: {', '.join(sorted(unknown))}; there are {', '.join(FAULTS)}")
    os.environ.setdefault("HOLDSPACE_ENVIRONMENT", "local")
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))  # so that servers are stopped
    found = 0
    try:
        for seed in range(arguments.seed, arguments.seed + arguments.rounds):
            for name in wanted:
                outcome = one_round(name, seed)
                found += len(outcome.violations)
                if arguments.save:
                    results.save(name, [results.as_round(seed, outcome)])
                    results.PAGE.write_text(results.page(results.load()))
    except StackError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit("interrupted; the servers are stopped")
    sys.exit(1 if found else 0)


def one_round(name: str, seed: int) -> Outcome:
    """Plays one fault on servers of its own. What it leaves behind stays when something was violated."""
    with tempfile.TemporaryDirectory(prefix="holdspace-faults-", ignore_cleanup_errors=True) as place:
        folder, history = Path(place), History()
        folder.chmod(0o755)  # PostgreSQL gives up root for another account, which must pass through.
        outcome = asyncio.run(_played(name, seed, folder, history))
        tell(name, seed, outcome)
        if outcome.violations:
            keep(name, seed, folder, history, outcome)
    return outcome


async def _played(name: str, seed: int, folder: Path, history: History) -> Outcome:
    fault, logs = FAULTS[name], folder / "logs"
    logs.mkdir()
    with rigs.disk(folder / "servers", fault.disk_bytes), rigs.stack(folder / "servers") as made:
        async with rigs.platforms(made, logs, fault.instances) as running, AsyncExitStack() as opened:
            prefix, chance = f"f{seed}-{int(time.time())}", random.Random(f"{name} {seed}")
            rig = Rig(running[0], made.servers, made.folder, history, chance, prefix, *running[1:])
            instances = [await opened.enter_async_context(platform.callers()) for platform in running]
            outcome = await play(rig, instances, fault, Timing())
            (logs / "driver.txt").write_text("\n".join([*rig.actions, *rig.restarts]) + "\n")
            return outcome


def tell(name: str, seed: int, outcome: Outcome) -> None:
    say(
        f"{name} seed {seed}: {outcome.calls} calls, {outcome.accepted} accepted, {outcome.facts} facts, "
        f"{len(outcome.violations)} violations, served after {outcome.served_seconds:.1f} s, "
        f"settled after {outcome.settled_seconds:.1f} s"
    )
    for violation in outcome.violations[:20]:
        say(f"  {violation}")


def keep(name: str, seed: int, folder: Path, history: History, outcome: Outcome) -> None:
    """Puts the history, the violations and the logs of a round where they can be looked at."""
    kept = KEPT / f"{name}-{seed}"
    shutil.rmtree(kept, ignore_errors=True)
    shutil.copytree(folder / "logs", kept)
    history.save(kept / "history.jsonl")
    (kept / "violations.txt").write_text("\n".join(map(str, outcome.violations)) + "\n")
    say(f"  kept in {kept}")


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
