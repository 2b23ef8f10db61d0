"""docs/reliability.md is what the driver wrote, with every fault there is."""

import re

from tests.faults import checker, results
from tests.faults.injected import FAULTS
from tests.faults.running import Outcome
from tests.faults.violation import Violation
from tests.unit.faults.test_checker import __file__ as checker_tests


def test_the_page_is_made_of_the_committed_results() -> None:
    assert results.PAGE.read_text() == results.page(results.load())


def test_what_was_tried_is_a_fault_there_is_and_says_what_it_is() -> None:
    assert set(results.load()) <= set(FAULTS)
    assert all(fault.what for fault in FAULTS.values())


def test_the_table_counts_rounds_and_violations_and_tells_what_never_recovered() -> None:
    violation = Violation("overlap", "booking-1", "twice")
    well = results.as_round(1, Outcome([], 1000, 900, 2000, 1.26, 0.04))
    ill = results.as_round(2, Outcome([violation] * 30, 500, 400, 900, float("inf"), 2.0))
    assert ill["violations"] == [str(violation)] * 20
    line = results.table({"kill": [well, ill]}).splitlines()[-1]
    assert line.startswith("| kill | SIGKILL of every service")
    assert line.endswith("| 2 | 1,500 | 30 | 1.3 to never | 0.0 to 2.0 |")


def test_every_invariant_of_the_page_is_one_the_checkers_tests_see_broken() -> None:
    frame = results.FRAME.read_text().split("## What the checker knows")[1].split("##")[0]
    named = {name for row in re.findall(r"^\| ([^|]+) \|", frame, re.MULTILINE) for name in row.strip().split(", ")}
    named -= {"invariant", "---"}
    with open(checker_tests) as source:
        tested = source.read()
    assert {name for name in named if f'"{name}"' not in tested} == set()
    assert len(named) >= len(checker.ALWAYS) + len(checker.IN_THE_END) - 2
