"""The page of rules says which tests prove what, and calls nothing working that no test names."""

import ast

import pytest

from tests.rules import RULES, Proof, Status, WrongMark, marks, page, proofs, rules_of, status

YAML = """
Messaging:
  MS1:
    says: One conversation, free messages.
    clauses: {a: one conversation, b: free messages}
  MS2: {says: No plaintext., clauses: {a: no plaintext}}
Platform:
  PL1: {says: Once., clauses: {a: taken once}}
"""
MODULE = """
@pytest.mark.rule("PL1.a", "MS1.a")
@pytest.mark.parametrize("n", [1, 2])
async def test_a_fact_is_taken_once(n): ...

def test_something_else(): ...

class TestGroup:
    @pytest.mark.rule("PL1")
    def test_it_is_there(self): ...
"""
PROVED = rules_of(YAML)
FOUND = list(marks("tests/test_x.py", ast.parse(MODULE)))


def test_marks_are_read_from_functions_and_methods_and_from_nothing_else() -> None:
    once, there = Proof("tests/test_x.py", "test_a_fact_is_taken_once"), Proof("tests/test_x.py", "test_it_is_there")
    assert sorted(FOUND) == [("MS1.a", once), ("PL1", there), ("PL1.a", once)]


@pytest.mark.parametrize(
    ("marked", "expected"),
    [
        ([], Status.NOT_YET),
        (["MS1"], Status.IN_PART),
        (["MS1.a"], Status.IN_PART),
        (["MS1", "MS1.b"], Status.IN_PART),
        (["MS1.a", "MS1.b"], Status.WORKING),
    ],
)
def test_a_rule_works_only_when_each_of_its_clauses_is_named_by_a_test(marked: list[str], expected: Status) -> None:
    tests = proofs(PROVED, [(proved, Proof("tests/test_x.py", "test_it")) for proved in marked])
    assert status("MS1", PROVED["Messaging"]["MS1"].clauses, tests) is expected


def test_the_page_has_every_rule_with_its_status_its_tests_and_what_no_test_names() -> None:
    text = page(PROVED, proofs(PROVED, FOUND))
    once = "a fact is taken once (`tests/test_x.py::test_a_fact_is_taken_once`)"
    assert f"**MS1** (in part) One conversation, free messages.\n\n- MS1.a: one conversation\n  - {once}\n" in text
    assert "- MS1.b: free messages (no test names it)\n" in text
    assert "**MS2** (not yet) No plaintext.\n\n- MS2.a: no plaintext (no test names it)\n" in text
    assert "**PL1** (working) Once.\n" in text
    assert "- **working** (1): PL1\n- **in part** (1): MS1\n- **not yet** (1): MS2\n" in text
    assert text == page(PROVED, proofs(PROVED, FOUND[::-1]))


@pytest.mark.parametrize("wrong", ["XX1", "PL1.b", "PL1.", "PL1.aa"])
def test_a_mark_with_an_unknown_rule_or_clause_is_refused(wrong: str) -> None:
    with pytest.raises(WrongMark, match=rf"tests/test_x.py::test_it: {wrong}"):
        proofs(PROVED, [(wrong, Proof("tests/test_x.py", "test_it"))])


def test_every_rule_has_clauses_by_letter_in_order() -> None:
    for of_section in rules_of(RULES.read_text()).values():
        for rule, told in of_section.items():
            letters = "abcdefghijklmnopqrstuvwxyz"[: len(told.clauses)]
            assert (rule, "".join(told.clauses)) == (rule, letters)
            assert told.clauses
            assert all(told.clauses.values())
