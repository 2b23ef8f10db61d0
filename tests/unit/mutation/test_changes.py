import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tests.mutation import results
from tests.mutation.changes import compiled, mutants
from tests.mutation.patching import function_of, replace_code
from tests.mutation.results import Found, Survivor

SOURCE = '''
"""Not changed."""
LIMIT: int = 3

class Door:
    """Nor is this."""

    @property
    def is_open(self) -> bool:
        return self.open and not self.locked

def enter(door: Door, people: int = 5) -> str:
    if not 0 < people <= LIMIT:
        raise ValueError("people")
    knock(door)
    return said(text="in", to=door)
'''


def keys(source: str) -> list[str]:
    return [mutant.key for mutant in mutants(ast.parse(source))]


def test_each_operator_constant_condition_and_step_makes_a_mutant_of_its_own() -> None:
    assert keys(SOURCE) == [
        "LIMIT: 3 -> 4",
        "Door.is_open: self.open and (not self.locked) -> self.open or not self.locked",
        "Door.is_open: self.open and (not self.locked) -> without self.open",
        "Door.is_open: self.open and (not self.locked) -> without not self.locked",
        "Door.is_open: not self.locked -> self.locked",
        "enter: 5 -> 6",
        "enter: if not 0 < people <= LIMIT -> if True",
        "enter: if not 0 < people <= LIMIT -> if False",
        "enter: not 0 < people <= LIMIT -> 0 < people <= LIMIT",
        "enter: 0 < people <= LIMIT -> 0 <= people <= LIMIT",
        "enter: 0 < people <= LIMIT -> 0 >= people <= LIMIT",
        "enter: 0 < people <= LIMIT -> 0 < people < LIMIT",
        "enter: 0 < people <= LIMIT -> 0 < people > LIMIT",
        "enter: 0 -> 1",
        "enter: 'people' -> 'XXpeople'",
        "enter: knock(door) -> pass",
        "enter: said(text='in') -> (left out)",
        "enter: said(to=door) -> (left out)",
        "enter: 'in' -> 'XXin'",
    ]


def test_the_same_change_in_two_places_has_two_names() -> None:
    source = """
def f(x):
    match x:
        case int():
            return g(a=1 + x)
        case str():
            return g(a=1 + x) + g(a=1 + x)
"""
    found = [key for key in keys(source) if "left out" in key]
    assert found == [
        "f, int(): g(a=1 + x) -> (left out)",
        "f, str(): g(a=1 + x) -> (left out)",
        "f, str(): g(a=1 + x) -> (left out) (time 2)",
    ]


def test_a_mutant_is_compiled_and_leaves_the_tree_as_it_was() -> None:
    tree = ast.parse("def at_least(n): return n >= 2")
    before = ast.dump(tree)
    answers = []
    for mutant in mutants(tree):
        names: dict[str, object] = {}
        exec(compiled(tree, mutant, "door.py"), names)  # noqa: S102 - the source is above
        answers.append([names["at_least"](n) for n in (1, 2, 3)])  # type: ignore[operator]
    assert answers == [[False, False, True], [True, False, False], [False, False, True]]
    assert ast.dump(tree) == before


@pytest.fixture
def door() -> Iterator[ModuleType]:
    module = ModuleType("door_of_a_test")
    exec(SOURCE, module.__dict__)  # noqa: S102 - the source is above
    sys.modules[module.__name__] = module
    yield module
    del sys.modules[module.__name__]


def test_whoever_holds_the_function_calls_the_mutant(door: ModuleType) -> None:
    held = door.Door()
    held.open, held.locked = True, True
    tree = ast.parse(SOURCE)
    [mutant] = [each for each in mutants(tree) if each.key == "Door.is_open: not self.locked -> self.locked"]
    before = held.is_open
    replace_code(door.__name__, mutant.function, compiled(tree, mutant, "door.py"))
    assert (before, held.is_open) == (False, True)


def test_a_function_that_made_others_is_not_changed_where_it_stands(door: ModuleType) -> None:
    exec("def outer(f):\n    def inner():\n        return f\n    return inner\n", door.__dict__)  # noqa: S102 - as above
    assert function_of(door.__name__, "outer") is None
    assert function_of(door.__name__, "Door.is_open") is not None


def test_every_mutant_that_is_called_equivalent_exists_and_says_why() -> None:
    for module, reasons in results.equivalents().items():
        there = set(keys((results.ROOT / module).read_text()))
        assert [key for key in reasons if key not in there] == [], f"{module} has no such mutants"
        assert all(reasons.values()), module


def test_an_equivalent_mutant_counts_in_no_score() -> None:
    found = Found(11, 9, 0, [Survivor(1, "f: a -> b"), Survivor(2, "f: b -> c", "no difference")])
    assert (found.survived, found.equivalent, found.score) == (1, 1, "90.0 %")
    page = results.page({"module.py": found})
    assert "| `module.py` | 11 | 9 | 1 | 1 | 90.0 % |" in page
    assert "f: a -> b" in page
    assert "f: b -> c" not in page


def test_the_page_is_what_the_results_say() -> None:
    assert Path(results.PAGE).read_text() == results.page(results.load())
