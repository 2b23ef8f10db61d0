"""The page of rules says which tests prove what, and notices when it no longer does."""

import ast

import pytest

from tests.rules import Proof, WrongMark, marks, page, proofs

RULES = {"Messaging": {"MS1": "One conversation.", "MS2": "No plaintext."}, "Platform": {"PL1": "Once."}}
MODULE = """
@pytest.mark.rule("PL1", "MS1")
@pytest.mark.parametrize("n", [1, 2])
async def test_a_fact_is_taken_once(n): ...

def test_something_else(): ...

class TestGroup:
    @pytest.mark.rule("PL1")
    def test_it_is_there(self): ...
"""
FOUND = list(marks("tests/test_x.py", ast.parse(MODULE)))


def test_marks_are_read_from_functions_and_methods_and_from_nothing_else() -> None:
    once, there = Proof("tests/test_x.py", "test_a_fact_is_taken_once"), Proof("tests/test_x.py", "test_it_is_there")
    assert sorted(FOUND) == [("MS1", once), ("PL1", once), ("PL1", there)]


def test_the_page_has_each_rule_with_its_tests_and_names_those_without() -> None:
    text = page(RULES, proofs(RULES, FOUND))
    assert "**MS1** One conversation.\n\n- a fact is taken once (`tests/test_x.py::test_a_fact_is_taken_once`)" in text
    assert text.index("MS1") < text.index("PL1")
    assert text.endswith("## Without a test yet\n\nMS2\n")
    assert text == page(RULES, proofs(RULES, FOUND[::-1]))


def test_a_mark_with_an_unknown_rule_is_refused() -> None:
    with pytest.raises(WrongMark, match=r"tests/test_x.py::test_a_fact_is_taken_once: PL1"):
        proofs({"Messaging": RULES["Messaging"]}, FOUND)
