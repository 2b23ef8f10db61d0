"""`make mutants`: which changes of the deciders and folds no unit test would notice (docs/mutation.md)."""

import argparse
import ast
import os
import random
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.mutation import results
from tests.mutation.changes import Mutant, compiled, mutants
from tests.mutation.results import ROOT, Found, Survivor
from tests.mutation.trial import Outcome, TestsFail, Trial, tried

KERNEL = "kernel"


def parts() -> dict[str, tuple[list[Path], list[str]]]:
    """Returns by service what is changed, and the tests that are to notice."""
    found = {KERNEL: ([ROOT / "kernel" / "gates.py"], ["tests/unit/kernel/test_gates.py"])}
    for domain in sorted(ROOT.glob("services/*/domain")):
        service = domain.parent.name
        files = [file for file in sorted(domain.glob("*.py")) if file.name != "__init__.py"]
        found[service] = (files, [f"tests/unit/{service}"])
    return found


def trials_of(file: Path) -> list[Trial]:
    tree = ast.parse(file.read_text())
    name = ".".join(file.relative_to(ROOT).with_suffix("").parts)
    return [Trial(name, str(file), mutant, compiled(tree, mutant, str(file))) for mutant in mutants(tree)]


def main() -> None:
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__)
    parser.add_argument("--only", default="", help="services, such as kernel,scheduling; or parts of a module's path")
    parser.add_argument("--sample", type=int, default=0, help="how many of each module, all when 0; kept nowhere")
    parser.add_argument("--seed", type=int, default=1, help="which ones the sample takes")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--list", action="store_true", help="name the mutants and try none")
    options = parser.parse_args()
    wanted = [name for name in options.only.split(",") if name]
    found: dict[str, Found] = {}
    for service, (files, tests) in parts().items():
        chosen = [file for file in files if not wanted or _is_wanted(service, file, wanted)]
        trials = [trial for file in chosen for trial in _sampled(trials_of(file), options.sample, options.seed)]
        if options.list:
            print("\n".join(_told(trial.file, trial.mutant) for trial in trials))
        elif trials:
            found |= _judged(trials, tests, options.jobs)
    if found and not options.sample:
        results.save(_still_there(results.load()) | found)


def _is_wanted(service: str, file: Path, wanted: Sequence[str]) -> bool:
    path = str(file.relative_to(ROOT))
    return any(name == service or ("/" in name and name in path) for name in wanted)


def _sampled(trials: list[Trial], size: int, seed: int) -> list[Trial]:
    if not 0 < size < len(trials):
        return trials
    return sorted(random.Random(seed).sample(trials, size), key=lambda trial: trial.mutant.line)


def _still_there(found: Mapping[str, Found]) -> dict[str, Found]:
    return {module: of for module, of in found.items() if (ROOT / module).exists()}


def _judged(trials: Sequence[Trial], tests: Sequence[str], jobs: int) -> dict[str, Found]:
    try:
        outcomes = tried(trials, tests, jobs)
    except TestsFail as failure:
        sys.exit(f"the tests fail on the code as it is: {failure}")
    equivalent = results.equivalents()
    found: dict[str, Found] = {}
    for file in dict.fromkeys(trial.file for trial in trials):
        module = str(Path(file).relative_to(ROOT))
        of = [(trial.mutant, outcomes[number]) for number, trial in enumerate(trials) if trial.file == file]
        survivors = list(_survivors(of, equivalent.get(module, {})))
        ends = [outcome for _, outcome in of]
        found[module] = Found(len(of), len(of) - len(survivors), ends.count(Outcome.ENDLESS), survivors)
        print(f"{module}: {len(of)} mutants, score {found[module].score}", flush=True)
        for mutant, outcome in of:
            if outcome is Outcome.SURVIVED and mutant.key not in equivalent.get(module, {}):
                print(f"  {_told(file, mutant)}", flush=True)
    return found


def _survivors(of: Sequence[tuple[Mutant, Outcome]], equivalent: Mapping[str, str]) -> Iterator[Survivor]:
    for mutant, outcome in of:
        if outcome is Outcome.SURVIVED:
            yield Survivor(mutant.line, mutant.key, equivalent.get(mutant.key, ""))


def _told(file: str, mutant: Mutant) -> str:
    return f"{Path(file).relative_to(ROOT)}:{mutant.line}: {mutant.key}"


if __name__ == "__main__":
    main()
