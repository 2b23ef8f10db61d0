"""The project's Python files as syntax trees."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
SERVICES = tuple(sorted(path.parent.name for path in (ROOT / "services").glob("*/domain/")))

Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def trees(*folders: str) -> dict[str, ast.Module]:
    """Returns the modules below these folders of the project, by their path."""
    paths = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    return {str(path.relative_to(ROOT)): ast.parse(path.read_text()) for path in sorted(paths)}


def lines(path: str) -> int:
    return len((ROOT / path).read_text().splitlines())


def functions(tree: ast.AST) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def strings(tree: ast.AST) -> Iterator[str]:
    return (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str))
