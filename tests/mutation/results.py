"""What came of the mutants, by module: docs/mutation.json, and docs/mutation.md made from it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
FOUND = ROOT / "docs" / "mutation.json"
PAGE = ROOT / "docs" / "mutation.md"
EQUIVALENT = Path(__file__).parent / "equivalent.yaml"

HEAD = """\
# Mutation score

Written by `make mutants`. It changes one thing at a time in the deciders and folds: a comparison, an operator, a
number, a text, a condition, a field that is set, a step left out. Then it runs the unit tests of the service. A mutant
that no test fails on has survived: either a sentence is missing, or the change makes no difference. Those that make
none are listed with the reason in [equivalent.yaml](../tests/mutation/equivalent.yaml); they count in no score.

The score is killed / (mutants - equivalent). Each property is tried with at most 30 examples, the same on every run.
"""


@dataclass(frozen=True, slots=True)
class Survivor:
    """`equivalent`: why it makes no difference; empty when nobody says so."""

    line: int
    key: str
    equivalent: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """Of one module. `endless`: those of the killed that ran into a limit of time or memory."""

    mutants: int
    killed: int
    endless: int
    survivors: Sequence[Survivor] = field(default_factory=list)

    @property
    def equivalent(self) -> int:
        return sum(bool(each.equivalent) for each in self.survivors)

    @property
    def survived(self) -> int:
        return len(self.survivors) - self.equivalent

    @property
    def score(self) -> str:
        judged = self.mutants - self.equivalent
        return f"{100 * self.killed / judged:.1f} %" if judged else "-"


def equivalents() -> Mapping[str, Mapping[str, str]]:
    """Returns the reasons by module and key of the mutant."""
    return yaml.safe_load(EQUIVALENT.read_text()) or {}


def load(path: Path = FOUND) -> dict[str, Found]:
    told: Mapping[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return {
        module: Found(each["mutants"], each["killed"], each["endless"], [Survivor(**s) for s in each["survivors"]])
        for module, each in told.items()
    }


def save(found: Mapping[str, Found]) -> None:
    told = {module: asdict(of) for module, of in sorted(found.items())}
    FOUND.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n")
    PAGE.write_text(page(found))


def page(found: Mapping[str, Found]) -> str:
    total = Found(
        sum(of.mutants for of in found.values()),
        sum(of.killed for of in found.values()),
        sum(of.endless for of in found.values()),
        [survivor for of in found.values() for survivor in of.survivors],
    )
    rows = [_row(f"`{module}`", of) for module, of in sorted(found.items())]
    head = ["| module | mutants | killed | survived | equivalent | score |", "|---|--:|--:|--:|--:|--:|"]
    return "\n".join([HEAD, *head, *rows, _row("**all**", total), "", *_survivors(found)])


def _row(name: str, of: Found) -> str:
    return f"| {name} | {of.mutants} | {of.killed} | {of.survived} | {of.equivalent} | {of.score} |"


def _survivors(found: Mapping[str, Found]) -> list[str]:
    lines = ["## Survivors", ""]
    for module, of in sorted(found.items()):
        left = [survivor for survivor in of.survivors if not survivor.equivalent]
        if left:
            lines += [f"### `{module}`", "", "| line | change |", "|--:|---|"]
            lines += [f"| {survivor.line} | `{survivor.key.replace('|', chr(92) + '|')}` |" for survivor in left]
            lines.append("")
    return lines if len(lines) > 2 else [*lines, "None.", ""]
