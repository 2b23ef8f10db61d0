import pytest

from holdspace.moderation.v1.private_pb2 import BadFaithFound, BadFaithWithdrawn
from services.moderation.app import REPORTER
from services.moderation.domain.policy import DEFAULT
from services.moderation.domain.reporter import NoteFinding, Reporter, note_finding
from tests.sentences import START, Sentences
from tests.unit.moderation.words import BAD_FAITH, DISMISSED, UPHELD

given = Sentences(REPORTER, note_finding).given
FOUND, WITHDRAWN = (fact(reporter_id="t1", report_id="r1") for fact in (BadFaithFound, BadFaithWithdrawn))


def finding(found: int) -> NoteFinding:
    return NoteFinding("t1", "r1", found, START)


@pytest.mark.rule("MO10.c")
@pytest.mark.parametrize("found", [UPHELD, DISMISSED])
def test_an_honest_mistake_has_no_consequence_for_the_reporter(found: int) -> None:
    given().when(finding(found)).then()


@pytest.mark.rule("MO10.a", "MO10.c")
def test_a_report_in_bad_faith_counts_once_against_its_reporter_until_it_is_withdrawn() -> None:
    given().when(finding(BAD_FAITH)).then(FOUND)
    given(FOUND).when(finding(BAD_FAITH)).then()
    given(FOUND).when(finding(DISMISSED)).then(WITHDRAWN)
    given(FOUND, WITHDRAWN).when(finding(UPHELD)).then()
    assert given(FOUND).state.reliability(DEFAULT) == 500
    assert given(FOUND, WITHDRAWN).state.reliability(DEFAULT) == 1_000


@pytest.mark.rule("MO10")
def test_reliability_starts_whole_and_never_falls_below_nothing() -> None:
    lies = [frozenset(f"r{n}" for n in range(count)) for count in range(4)]
    assert [Reporter(in_bad_faith).reliability(DEFAULT) for in_bad_faith in lies] == [1_000, 500, 0, 0]
