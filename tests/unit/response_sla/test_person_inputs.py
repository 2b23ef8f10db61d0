"""What moderation said about a person is kept as it was said, until a restore of moderation takes it back."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest

from holdspace.moderation.v1.events_pb2 import FINDING_BAD_FAITH
from kernel.decision import Decision
from kernel.gates import Span
from services.response_sla.domain.client_inputs import (
    Fact,
    NoteAboutPerson,
    NoteRestated,
    Person,
    decide,
    decide_restated,
    evolve,
)
from services.response_sla.domain.inputs import FiledReport, PersonInput, ReportDecision, Source, StandingChange

START = datetime(2026, 3, 2, tzinfo=UTC)
BEFORE, AFTER = Source("moderation/a", 1), Source("moderation/a", 2)


def hour(hours: float) -> datetime:
    return START + timedelta(hours=hours)


def standing(version: int, source: Source = BEFORE, at: float = 0) -> StandingChange:
    suspended = (Span("SUSPENDED", hour(24)), Span("GOOD"))
    return StandingChange(
        at=hour(at),
        version=version,
        fact_id=f"s{version}-{source.epoch}",
        phases=suspended,
        lifted=True,
        report_ids=("r1", "r2"),
        source=source,
    )


def after(person: Person, decision: Decision) -> Person:
    for fact in cast("Sequence[Fact]", decision.facts):
        assert fact.person_id == "p"
        person = evolve(person, fact, START)
    return person


def noting(person: Person, *inputs: PersonInput) -> Person:
    for told in inputs:
        person = after(person, decide(NoteAboutPerson("p", told, START), person))
    return person


def restated(person: Person, version: int, source: Source = AFTER) -> Person:
    return after(person, decide_restated(NoteRestated("p", source, version, START), person))


@pytest.mark.rule("SL8")
def test_what_was_said_is_kept_whole_and_once() -> None:
    report = FiledReport(hour(3), 1, "f1", "r1", "t1", "c1", 7, BEFORE)
    decision = ReportDecision(
        at=hour(5), version=2, fact_id="f2", report_id="r1", reporter_id="t1", finding=FINDING_BAD_FAITH, source=BEFORE
    )
    change = standing(3, at=4)
    person = noting(Person(), report, decision, change)
    assert person.inputs == (report, decision, change)
    assert (person.latest, person.facts) == (hour(5), 3)
    assert noting(person, report, change) == person


@pytest.mark.rule("SL8")
def test_an_epoch_takes_back_what_earlier_ones_decided_beyond_where_it_begins() -> None:
    kept, lost, new = standing(4), standing(5), standing(5, AFTER)
    person = restated(noting(Person(), kept, lost, new), 4)
    assert person.inputs == (kept, new)
    assert noting(person, lost).inputs == (kept, new)
    assert noting(person, standing(4, BEFORE._replace(name="moderation/b"))).inputs[-1].source.name == "moderation/b"


@pytest.mark.rule("SL8")
def test_reports_and_findings_are_not_taken_back_by_what_tells_the_standing_anew() -> None:
    report = FiledReport(hour(3), 9, "f1", "r1", "t1", source=BEFORE)
    assert restated(noting(Person(), report), 4).inputs == (report,)


@pytest.mark.rule("SL8")
def test_the_first_word_of_an_epoch_counts_and_a_later_one_of_it_does_not() -> None:
    person = restated(noting(Person(), standing(5)), 4)
    assert restated(person, 9) == person
    assert restated(person, 6, Source("moderation/a", 3)).restated == {"moderation/a": {2: 4, 3: 6}}
