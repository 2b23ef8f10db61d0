"""`python -m tests.rules` writes docs/rules.md: the rules of docs/rules.yaml, how far each works, and what proves it.

A test names what it proves by a mark: `@pytest.mark.rule("MO5.a")` a clause, `@pytest.mark.rule("MO5")` something
towards the rule that is no whole clause. A rule works when each of its clauses has a test that names it. `--check`
writes nothing and fails when the page is out of date. Tests are read, not run or imported, so no server is needed.
"""

import ast
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
RULES = ROOT / "docs" / "rules.yaml"
PAGE = ROOT / "docs" / "rules.md"
HEAD = """\
# Rules, how far they work, and the tests that prove it

Written by `python -m tests.rules` from [rules.yaml](rules.yaml) and the marks on the tests; `make check` fails when it
is out of date. A rule is **working** when each of its clauses has a test that names the clause, **in part** when only
some have or tests name nothing but the rule, and **not yet** without a test. A test's name is a sentence.
"""


class Status(Enum):
    WORKING = "working"
    IN_PART = "in part"
    NOT_YET = "not yet"


class WrongMark(Exception):  # noqa: N818 - names the finding
    """Marks that name no rule or no clause of it, one a line."""


@dataclass(frozen=True, slots=True)
class Rule:
    """`clauses`: by letter."""

    sentence: str
    clauses: Mapping[str, str]


@dataclass(frozen=True, slots=True, order=True)
class Proof:
    path: str
    name: str

    @property
    def sentence(self) -> str:
        return self.name.removeprefix("test_").replace("_", " ")


Rules = Mapping[str, Mapping[str, Rule]]
"""By section, by id."""
Proofs = Mapping[str, Sequence[Proof]]
"""By what is proved: a rule's id, or a clause's, as in MO5.a."""


def rules_of(text: str) -> Rules:
    """Takes rules.yaml: by section, by id, what the rule says and its clauses by letter."""
    return {
        section: {rule: Rule(told["says"], told["clauses"]) for rule, told in of_section.items()}
        for section, of_section in yaml.safe_load(text).items()
    }


def marks(path: str, tree: ast.Module) -> Iterator[tuple[str, Proof]]:
    """Yields what a test of the module is marked with, and the test."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            for decorator in node.decorator_list:
                for proved in ids(decorator):
                    yield proved, Proof(path, node.name)


def ids(decorator: ast.expr) -> list[str]:
    """Returns the ids of `pytest.mark.rule(...)`, none for any other decorator."""
    if not isinstance(decorator, ast.Call) or ast.unparse(decorator.func) != "pytest.mark.rule":
        return []
    return [ast.literal_eval(argument) for argument in decorator.args]


def proofs(rules: Rules, found: Sequence[tuple[str, Proof]]) -> Proofs:
    """Returns the tests of each rule and of each clause, in order. Raises WrongMark."""
    tests: dict[str, set[Proof]] = {}
    for of_section in rules.values():
        for rule, told in of_section.items():
            tests |= {rule: set()} | {f"{rule}.{letter}": set() for letter in told.clauses}
    if unknown := sorted(f"{test.path}::{test.name}: {proved}" for proved, test in found if proved not in tests):
        raise WrongMark("\n".join(unknown))
    for proved, test in found:
        tests[proved].add(test)
    return {proved: sorted(of_proved) for proved, of_proved in tests.items()}


def status(rule: str, clauses: Mapping[str, str], tests: Proofs) -> Status:
    proved = [bool(tests[f"{rule}.{letter}"]) for letter in clauses]
    if all(proved):
        return Status.WORKING
    return Status.IN_PART if any(proved) or tests[rule] else Status.NOT_YET


def page(rules: Rules, tests: Proofs) -> str:
    statuses = {
        rule: status(rule, told.clauses, tests) for of_section in rules.values() for rule, told in of_section.items()
    }
    lines = [HEAD]
    for each in Status:
        of_status = [rule for rule, found in statuses.items() if found is each]
        lines.append(f"- **{each.value}** ({len(of_status)}): {', '.join(of_status) or 'none'}")
    for section, of_section in rules.items():
        lines.append(f"\n## {section}\n")
        for rule, told in of_section.items():
            lines += of_rule(rule, told, statuses[rule], tests)
    return "\n".join(lines)


def of_rule(rule: str, told: Rule, found: Status, tests: Proofs) -> list[str]:
    lines = [f"**{rule}** ({found.value}) {told.sentence}\n"]
    for letter, clause in told.clauses.items():
        of_clause = tests[f"{rule}.{letter}"]
        lines.append(f"- {rule}.{letter}: {clause}" + ("" if of_clause else " (no test names it)"))
        lines += [f"  - {line(test)}" for test in of_clause]
    if tests[rule]:
        lines += ["- towards the rule:", *(f"  - {line(test)}" for test in tests[rule])]
    return [*lines, ""]


def line(test: Proof) -> str:
    return f"{test.sentence} (`{test.path}::{test.name}`)"


def written() -> str:
    """Returns the page as it should be. Raises WrongMark."""
    rules = rules_of(RULES.read_text())
    modules = sorted((ROOT / "tests").rglob("test_*.py"))
    found = [
        mark for path in modules for mark in marks(str(path.relative_to(ROOT)), ast.parse(path.read_text(), str(path)))
    ]
    return page(rules, proofs(rules, found))


def main(arguments: Sequence[str]) -> int:
    if arguments not in ([], ["--check"]):
        print(__doc__, file=sys.stderr)
        return 2
    try:
        text = written()
    except WrongMark as wrong:
        print(f"marked with a rule or a clause that docs/rules.yaml does not have:\n{wrong}", file=sys.stderr)
        return 1
    if not arguments:
        PAGE.write_text(text)
    elif not PAGE.exists() or PAGE.read_text() != text:
        print("docs/rules.md is out of date; write it with: python -m tests.rules", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
