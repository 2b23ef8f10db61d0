"""Every service has the same shape, nothing grows too long to read, every metric is declared where one looks for it."""

import ast
import re
import subprocess

import pytest

from tests.architecture import sources
from tests.architecture.sources import ROOT, SERVICES

CODE = ("kernel", "services", "infra")
MODULE_LINES_MAX = 299
FUNCTION_LINES_MAX = 39
SKELETON = (
    "README.md",
    "__main__.py",
    "settings.py",
    "wiring.py",
    "app.py",
    "api.py",
    "projections.py",
    "read_model.sql",
    "queries.sql",
    "domain/__init__.py",
)
REACTING = {"OnOwn", "OnForeign"}
METRIC_TYPES = {"Counter", "Gauge", "Histogram", "Summary", "Info", "Enum"}
METRIC = re.compile(r"\bholdspace_[a-z][a-z0-9_]*")
SUFFIX = re.compile(r"_(total|created|bucket|sum|count)$")


def too_long(trees: dict[str, ast.Module]) -> list[str]:
    found = [f"{path}: {sources.lines(path)} lines" for path in trees if sources.lines(path) > MODULE_LINES_MAX]
    for path, tree in trees.items():
        for function in sources.functions(tree):
            length = (function.end_lineno or 0) - function.lineno + 1
            if length > FUNCTION_LINES_MAX:
                found.append(f"{path}: {function.name} has {length} lines")
    return found


def test_modules_stay_under_300_lines_and_functions_under_40() -> None:
    assert too_long(sources.trees(*CODE)) == []


def test_a_function_of_40_lines_is_found() -> None:
    text = "def long():\n" + "    pass\n" * 39
    assert too_long({"kernel/sql.py": ast.parse(text)}) == ["kernel/sql.py: long has 40 lines"]
    assert too_long({"kernel/sql.py": ast.parse(text[:-9])}) == []


def test_there_are_five_services() -> None:
    assert SERVICES == ("age_verification", "messaging", "moderation", "response_sla", "scheduling")


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_has_the_skeleton_that_all_have(service: str) -> None:
    missing = [name for name in SKELETON if not (ROOT / "services" / service / name).exists()]
    assert missing == []


@pytest.mark.parametrize("service", SERVICES)
def test_what_a_service_reacts_to_is_in_its_reactions_module(service: str) -> None:
    """A metric of our own facts is no reaction; its module may say what it measures."""
    found = {
        path.rsplit("/", 1)[1]
        for path, tree in sources.trees(f"services/{service}").items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in REACTING
    }
    assert found <= {"reactions.py", "metrics.py"}


# Metrics.


def is_metrics_module(path: str) -> bool:
    return path == "kernel/metrics.py" or re.fullmatch(r"services/\w+/metrics\.py", path) is not None


def declared_metrics() -> set[str]:
    modules = {path: tree for path, tree in sources.trees(*CODE).items() if is_metrics_module(path)}
    return {text for tree in modules.values() for text in sources.strings(tree) if METRIC.fullmatch(text)}


def undeclared(text: str, declared: set[str]) -> set[str]:
    names = {name.rstrip("_") for name in METRIC.findall(text)}
    return {name for name in names if name not in declared and SUFFIX.sub("", name) not in declared}


def test_metrics_are_made_only_where_they_are_declared() -> None:
    makers = [
        f"{path}: {alias.name}"
        for path, tree in sources.trees(*CODE).items()
        if not is_metrics_module(path)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "prometheus_client"
        for alias in node.names
        if alias.name in METRIC_TYPES
    ]
    assert makers == []


def test_whatever_asks_for_a_metric_asks_for_a_declared_one() -> None:
    declared = declared_metrics()
    kinds = ("*.json", "*.yaml", "*.yml", "*.md")
    asking = [path for folder in ("infra", "charts", "docs") for kind in kinds for path in (ROOT / folder).rglob(kind)]
    wrong = {str(path.relative_to(ROOT)): undeclared(path.read_text(), declared) for path in asking}
    assert {path: names for path, names in wrong.items() if names} == {}
    assert len(declared) > 20


def test_a_metric_nobody_declared_is_found() -> None:
    declared = {"holdspace_appends", "holdspace_grpc_call_seconds"}
    asked = "rate(holdspace_appends_total[5m]) + holdspace_grpc_call_seconds_bucket + holdspace_apends_total"
    assert undeclared(asked, declared) == {"holdspace_apends_total"}


def test_no_file_holds_the_marks_of_a_merge() -> None:
    tracked = subprocess.run(["git", "grep", "-lE", "^(<{7}|>{7}) "], cwd=ROOT, capture_output=True, text=True)
    assert tracked.returncode in (0, 1, 128), tracked.stderr  # 128: not a clone
    assert tracked.stdout.split() == []
