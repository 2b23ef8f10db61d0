"""`python -m tests.rules` writes docs/rules.md: every rule of docs/rules.yaml with the tests that prove it.

A test names its rules by a mark, `@pytest.mark.rule("MO5")`. `--check` writes nothing and fails when the page is out of
date. Tests are read, not run or imported, so no server is needed.
"""

import ast
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
RULES = ROOT / "docs" / "rules.yaml"
PAGE = ROOT / "docs" / "rules.md"
HEAD = """\
# Rules and the tests that prove them

Written by `python -m tests.rules` from [rules.yaml](rules.yaml) and the marks on the tests; `make check` fails when it
is out of date. A test's name is a sentence. A rule that is listed has tests; it may promise more than they cover yet.
"""

Rules = Mapping[str, Mapping[str, str]]
"""By section, by id: the rule's sentence."""


class WrongMark(Exception):  # noqa: N818 - names the finding
    """Marks that name no rule, one a line."""


@dataclass(frozen=True, slots=True, order=True)
class Proof:
    path: str
    name: str

    @property
    def sentence(self) -> str:
        return self.name.removeprefix("test_").replace("_", " ")


def marks(path: str, tree: ast.Module) -> Iterator[tuple[str, Proof]]:
    """Yields a rule's id and a test of the module that is marked with it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            for decorator in node.decorator_list:
                for rule in ids(decorator):
                    yield rule, Proof(path, node.name)


def ids(decorator: ast.expr) -> list[str]:
    """Returns the ids of `pytest.mark.rule(...)`, none for any other decorator."""
    if not isinstance(decorator, ast.Call) or ast.unparse(decorator.func) != "pytest.mark.rule":
        return []
    return [ast.literal_eval(argument) for argument in decorator.args]


def proofs(rules: Rules, found: Sequence[tuple[str, Proof]]) -> dict[str, list[Proof]]:
    """Returns each rule's tests, in order. Raises WrongMark."""
    tests: dict[str, set[Proof]] = {rule: set() for of_section in rules.values() for rule in of_section}
    if unknown := sorted(f"{test.path}::{test.name}: {rule}" for rule, test in found if rule not in tests):
        raise WrongMark("\n".join(unknown))
    for rule, test in found:
        tests[rule].add(test)
    return {rule: sorted(of_rule) for rule, of_rule in tests.items()}


def page(rules: Rules, tests: Mapping[str, Sequence[Proof]]) -> str:
    lines = [HEAD]
    for section, of_section in rules.items():
        if not any(tests[rule] for rule in of_section):
            continue
        lines.append(f"## {section}\n")
        for rule, sentence in of_section.items():
            if not tests[rule]:
                continue
            lines.append(f"**{rule}** {sentence}\n")
            lines += [f"- {test.sentence} (`{test.path}::{test.name}`)" for test in tests[rule]]
            lines.append("")
    unproved = [rule for rule, of_rule in tests.items() if not of_rule]
    if unproved:
        lines.append(f"## Without a test yet\n\n{', '.join(unproved)}\n")
    return "\n".join(lines)


def written() -> str:
    """Returns the page as it should be. Raises WrongMark."""
    rules: Rules = yaml.safe_load(RULES.read_text())
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
        print(f"marked with a rule that docs/rules.yaml does not have:\n{wrong}", file=sys.stderr)
        return 1
    if not arguments:
        PAGE.write_text(text)
    elif not PAGE.exists() or PAGE.read_text() != text:
        print("docs/rules.md is out of date; write it with: python -m tests.rules", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
