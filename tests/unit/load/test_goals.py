"""What the bench makes of readings: ratios by round, goals met and missed, figures that got worse."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.load import document, results
from tests.load.measuring import Figure, Goal, Group, Measured
from tests.load.report import worse

OURS, REFERENCE = Figure("ours", "per_second"), Figure("reference", "per_second")
READINGS = {
    "ours": [
        {"per_second": 30.0, "p99_ms": 4.0},
        {"per_second": 80.0, "p99_ms": 5.0},
        {"per_second": 20.0, "p99_ms": 90.0},
    ],
    "reference": [{"per_second": 10.0}, {"per_second": 40.0}, {"per_second": 10.0}],
}


def group(*goals: Goal) -> Group:
    return Group("Rates", goals, lambda stack, options: pytest.fail("nothing is measured here"))


@pytest.mark.parametrize(
    ("goal", "median", "least", "most", "is_met"),
    [
        (Goal("P1", "ours", OURS, REFERENCE, least=2), 2, 2, 3, True),
        (Goal("P1", "ours", OURS, REFERENCE, least=2.1), 2, 2, 3, False),
        (Goal("P1", "ours", OURS, REFERENCE, most=2), 2, 2, 3, True),
        (Goal("P1", "ours", OURS, REFERENCE, most=1.9), 2, 2, 3, False),
        (Goal("P1", "p99", Figure("ours", "p99_ms"), most=8), 5, 4, 90, True),
        (Goal("P1", "rate", OURS), 30, 20, 80, None),
    ],
)
def test_a_goal_is_judged_by_the_median_of_ratios_taken_within_rounds(
    goal: Goal, median: float, least: float, most: float, is_met: bool | None
) -> None:
    (told,) = Measured(READINGS).told([goal])
    assert (told.median, told.least, told.most, told.is_met) == (median, least, most, is_met)


def test_a_goal_whose_reference_was_not_measured_is_left_out() -> None:
    assert Measured(READINGS).told([Goal("P2", "ours", OURS, Figure("peer", "per_second"), least=10)]) == []


def found(median: float, **limit: float) -> dict[str, Any]:
    goal = Goal("P1", "a figure", OURS, **limit)
    measured = Measured({"ours": [{"per_second": median}]})
    return {"P1": json.loads(json.dumps(results.as_json(group(goal), measured)))}


@pytest.mark.parametrize(
    ("before", "after", "limit", "is_worse"),
    [
        (1.0, 0.81, {"least": 0.5}, False),
        (1.0, 0.79, {"least": 0.5}, True),
        (1.0, 3.0, {"least": 0.5}, False),
        (10.0, 11.9, {"most": 50}, False),
        (10.0, 12.1, {"most": 50}, True),
        (10.0, 1.0, {}, False),
    ],
)
def test_a_figure_more_than_a_fifth_worse_than_committed_is_named(
    before: float, after: float, limit: dict[str, float], is_worse: bool
) -> None:
    lines = worse(found(after, **limit), found(before, **limit))
    assert [line.partition(":")[0] for line in lines] == (["P1 a figure"] if is_worse else [])


def test_results_are_kept_beside_those_of_other_groups_in_the_order_of_goals(tmp_path: Path) -> None:
    path = tmp_path / "performance.json"
    for name in ("P10", "P2", "P1"):
        results.save(path, {name: found(1.0)["P1"]})
    assert list(results.load(path)) == ["P1", "P2", "P10"]


def test_the_document_is_made_of_what_was_committed(tmp_path: Path) -> None:
    made = document.text(results.load(results.COMMITTED))
    assert (document.DOCS / "performance.md").read_text() == made, "make bench-docs"
