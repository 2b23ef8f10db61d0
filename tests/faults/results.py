"""What rounds came to: kept in docs/reliability.json, told in docs/reliability.md."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.faults.injected import FAULTS
from tests.faults.running import Outcome

FOLDER = Path(__file__).parents[2] / "docs"
COMMITTED = FOLDER / "reliability.json"
PAGE = FOLDER / "reliability.md"
FRAME = Path(__file__).with_name("reliability.md")
TABLE = "<!-- table -->"

Results = dict[str, list[dict[str, Any]]]
"""By fault, its rounds in the order of their seeds."""


def as_round(seed: int, outcome: Outcome) -> dict[str, Any]:
    return {
        "seed": seed,
        "calls": outcome.calls,
        "accepted": outcome.accepted,
        "facts": outcome.facts,
        "violations": [str(violation) for violation in outcome.violations[:20]],
        "violations_count": len(outcome.violations),
        "served_seconds": _finite(outcome.served_seconds),
        "settled_seconds": _finite(outcome.settled_seconds),
    }


def _finite(seconds: float) -> float | None:
    """Returns None for what never happened."""
    return round(seconds, 1) if math.isfinite(seconds) else None


def load(path: Path = COMMITTED) -> Results:
    return json.loads(path.read_text()) if path.exists() else {}


def save(name: str, rounds: Sequence[Mapping[str, Any]], path: Path = COMMITTED) -> None:
    """Puts rounds of a fault in the place of those with the same seeds."""
    found = load(path)
    known = {each["seed"]: each for each in found.get(name, [])} | {each["seed"]: dict(each) for each in rounds}
    found[name] = [known[seed] for seed in sorted(known)]
    path.write_text(json.dumps(found, indent=1) + "\n")


def page(found: Results) -> str:
    """Returns docs/reliability.md: its frame, with the table of what was found."""
    return FRAME.read_text().replace(TABLE, table(found))


def table(found: Results) -> str:
    lines = [
        "| fault | what | rounds | calls | violations | served again, s | settled, s |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, fault in FAULTS.items():
        rounds = found.get(name, [])
        if not rounds:
            continue
        calls, violations = (sum(each[key] for each in rounds) for key in ("calls", "violations_count"))
        served, settled = (_range([each[key] for each in rounds]) for key in ("served_seconds", "settled_seconds"))
        lines.append(f"| {name} | {fault.what} | {len(rounds)} | {calls:,} | {violations} | {served} | {settled} |")
    return "\n".join(lines)


def _range(seconds: Sequence[float | None]) -> str:
    """Returns the least and the most, "never" for what never happened."""
    known = [each for each in seconds if each is not None]
    if len(known) < len(seconds):
        return "never" if not known else f"{min(known)} to never"
    return f"{min(known)} to {max(known)}" if len(known) > 1 else str(known[0])
