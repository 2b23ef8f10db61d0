"""A fold never forgets: it makes its state from the one before, and names every field it sets.

A state made anew by position, or with a field left out, gives that field its default at the next fact: a block would be
undone by the next message.
"""

import ast
import inspect
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from infra.cli.store import definition_of
from infra.database import SERVICES
from kernel.folded import Fold

ROOT = Path(__file__).parents[2]


def folds() -> list[tuple[str, Fold[Any]]]:
    found = {}
    for service in SERVICES:
        for route in definition_of(service).routes:
            found[id(route.fold)] = (f"{service}.{type(route.fold.initial).__name__}", route.fold)
    return sorted(found.values(), key=lambda each: each[0])


FOLDS = folds()


def forgetful(source: str, state: type[Any]) -> Iterator[str]:
    """Yields the places where a state is made of less than all its fields by name."""
    wanted = {field.name for field in fields(state)}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == state.__name__:
            named = {keyword.arg for keyword in node.keywords}
            if node.args or named != wanted:
                yield f"line {node.lineno}: {ast.unparse(node)}"


def functions_of(module: ModuleType) -> str:
    """Returns the source of the module's functions. What stands outside, such as an initial state, is no fold."""
    tree = ast.parse(inspect.getsource(module))
    kept = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    return ast.unparse(ast.Module(body=kept, type_ignores=[]))


@pytest.mark.parametrize(("name", "fold"), FOLDS, ids=[name for name, _ in FOLDS])
def test_a_fold_makes_its_state_from_the_one_before(name: str, fold: Fold[Any]) -> None:
    state = type(fold.initial)
    assert is_dataclass(state)
    module = inspect.getmodule(inspect.unwrap(fold.evolve))
    assert module is not None
    assert list(forgetful(functions_of(module), state)) == []


def test_every_service_with_commands_has_folds_to_look_at() -> None:
    assert {name.partition(".")[0] for name, _ in FOLDS} == set(SERVICES)


@pytest.mark.parametrize("made", ["Gate(1, spans)", "Gate(source='')", "Gate()"])
def test_a_state_made_anew_is_found(made: str) -> None:
    from kernel.gates import Gate

    assert list(forgetful(f"def evolve(gate, fact, at):\n    return {made}", Gate))
