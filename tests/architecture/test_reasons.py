"""Every reason a call can be refused for is declared with its gRPC status, and every declared one can occur."""

import ast
from collections.abc import Iterator, Mapping

import pytest

from tests.architecture import protos, sources
from tests.architecture.sources import SERVICES

DECLARED = {
    service: {value.name.removeprefix("REASON_") for value in enum.values if value.number}
    for service, enum in protos.enums("Reason")
}
# Where a reason is handed on, it was a literal elsewhere, and is looked for there.
HANDED_ON = {"reason"}


def raised(trees: Mapping[str, ast.Module]) -> Iterator[tuple[str, ast.expr]]:
    """Yields what is given as the reason of a Rejected or of a taken claim in a route, with its place."""
    for path, tree in trees.items():
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            if isinstance(node.func, ast.Name) and node.func.id == "Rejected" and node.args:
                yield f"{path}:{node.lineno}", node.args[0]
            for keyword in node.keywords:
                if keyword.arg == "claim_taken":
                    yield f"{path}:{node.lineno}", keyword.value
                if keyword.arg == "claims_taken" and isinstance(keyword.value, ast.Dict):
                    yield from ((f"{path}:{node.lineno}", value) for value in keyword.value.values)


def undeclared(trees: Mapping[str, ast.Module], declared: set[str]) -> list[str]:
    return [
        f"{place}: {reason.value}"
        for place, reason in raised(trees)
        if isinstance(reason, ast.Constant) and reason.value not in declared
    ]


def opaque(trees: Mapping[str, ast.Module]) -> list[str]:
    """Returns the places where a reason is put together, so that no reader and no test can look it up."""
    return [
        f"{place}: {ast.unparse(reason)}"
        for place, reason in raised(trees)
        if not isinstance(reason, ast.Constant) and ast.unparse(reason).rsplit(".", 1)[-1] not in HANDED_ON
    ]


def unused(trees: Mapping[str, ast.Module], declared: set[str]) -> set[str]:
    return declared - {text for tree in trees.values() for text in sources.strings(tree)}


@pytest.mark.parametrize("service", SERVICES)
def test_every_reason_of_a_service_is_declared_and_every_declared_one_occurs(service: str) -> None:
    trees = sources.trees(f"services/{service}")
    own = DECLARED.get(service, set())
    assert undeclared(trees, own | DECLARED["kernel"]) == []
    assert opaque(trees) == []
    assert unused(trees, own) == set()


def test_every_reason_of_the_kernel_is_declared_and_every_declared_one_occurs() -> None:
    trees = sources.trees("kernel")
    assert undeclared(trees, DECLARED["kernel"]) == []
    assert opaque(trees) == []
    assert unused(sources.trees("kernel", "services"), DECLARED["kernel"]) == set()


def test_no_service_declares_again_what_the_kernel_has() -> None:
    assert {service: own & DECLARED["kernel"] for service, own in DECLARED.items() if service != "kernel"} == {
        service: set() for service in DECLARED if service != "kernel"
    }


def test_undeclared_made_up_and_unused_reasons_are_found() -> None:
    text = 'raise Rejected("KNOWN", "f")\nraise Rejected("UNKNOWN")\nRoute(x, claim_taken="TAKEN")\nRejected(a + "_B")'
    text += '\nRoute(x, claims_taken={"a/": "FULL"})'
    trees = {"x.py": ast.parse(text)}
    assert undeclared(trees, {"KNOWN", "IDLE"}) == ["x.py:2: UNKNOWN", "x.py:3: TAKEN", "x.py:5: FULL"]
    assert opaque(trees) == ["x.py:4: a + '_B'"]
    assert unused(trees, {"KNOWN", "IDLE"}) == {"IDLE"}
