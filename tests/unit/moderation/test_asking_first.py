"""One reporter's reports suspend five people in a day by themselves; from the sixth on a person is asked first."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from holdspace.moderation.v1.events_pb2 import ClientSuspended
from holdspace.moderation.v1.private_pb2 import ContactSeen, SuspensionAllowed, SuspensionDue
from services.moderation.app import REPORTER
from services.moderation.domain.client_standing import ClientStanding, evolve
from services.moderation.domain.policy import DEFAULT
from services.moderation.domain.reporter import AskToSuspend, Reporter, ask_to_suspend
from services.moderation.domain.reporter import evolve as evolve_reporter
from services.moderation.domain.reporting import Allowed, NotAsked
from tests.sentences import START, Given, Sentences, at
from tests.unit.moderation.words import (
    CLIENT,
    DANGER,
    DAY,
    HARASSMENT,
    SPAM,
    UPHELD,
    braked,
    contact_seen,
    decide,
    decided,
    given,
    hour,
    report,
    reported,
    suspended,
    take_stock,
)

WEEK = 7 * DAY
SEEN = tuple(contact_seen(f"t{n}") for n in range(1, 5))
of_reporter = Sentences(REPORTER, ask_to_suspend).given


def ask(client_id: str, at: float) -> AskToSuspend:
    return AskToSuspend("t1", client_id, DEFAULT, hour(at))


def allowed(client_id: str) -> SuspensionAllowed:
    return SuspensionAllowed(reporter_id="t1", client_id=client_id)


@pytest.mark.rule("MO6.c")
def test_five_people_are_suspended_by_one_reporter_in_a_day_and_the_sixth_is_not() -> None:
    four = of_reporter(*(at(hour(n), allowed(f"c{n}")) for n in range(4)))
    four.when(ask("c4", 4)).then(allowed("c4"))
    five = of_reporter(*(at(hour(n), allowed(f"c{n}")) for n in range(5)))
    five.when(ask("c5", 5)).then()
    five.when(ask("c5", 23.999)).then()
    five.when(ask("c5", 24)).then(allowed("c5"))  # The first was a day ago.


@pytest.mark.rule("MO6")
def test_the_same_person_again_is_one_person() -> None:
    five = of_reporter(*(at(hour(n), allowed(f"c{n}")) for n in range(5)))
    five.when(ask("c0", 20)).then(allowed("c0"))
    again = of_reporter(*(at(hour(n), allowed(f"c{n}")) for n in range(5)), at(hour(20), allowed("c0")))
    again.when(ask("c5", 24)).then()  # The second time of the first person is four hours old.


@pytest.mark.rule("MO6")
def test_a_report_that_suspends_is_not_decided_before_its_reporters_are_asked_for() -> None:
    told = given(*SEEN, *reported("r1", SPAM, "t1"), *reported("r2", HARASSMENT, "t2"))
    asking = replace(report("r3", SPAM, "t3"), allowed={"t1": True})
    with pytest.raises(NotAsked) as caught:
        told.when(asking).decision()
    assert caught.value.reporter_ids == ["t1", "t2", "t3"]
    given(*SEEN).when(replace(report("r1", SPAM), allowed={})).then(*reported("r1", SPAM))


@pytest.mark.rule("MO6.c")
def test_from_the_sixth_on_a_report_suspends_nobody_and_says_that_a_person_is_needed() -> None:
    barred = replace(report("r1", DANGER), allowed={"t1": False})
    given(*SEEN).when(barred).then(*reported("r1", DANGER, needs_person=True))
    waiting = given(*SEEN, *reported("r1", DANGER, needs_person=True))
    waiting.when(report("r2", SPAM, "t2", at=48)).then(*reported("r2", SPAM, "t2"), braked(48 + WEEK, "r1", "r2"))
    assert waiting.state.reports["r1"].needs_person


@pytest.mark.rule("MO6")
def test_an_earlier_report_of_a_barred_reporter_leaves_the_grounds_and_says_so_too() -> None:
    told = given(*SEEN, *reported("r1", HARASSMENT, "t1"), *reported("r2", SPAM, "t2"))
    barred = replace(report("r3", SPAM, "t3"), allowed={"t1": False, "t2": True, "t3": True})
    told.when(barred).then(
        *reported("r3", SPAM, "t3"),
        reported("r1", HARASSMENT, "t1", needs_person=True)[1],
        braked(1 + WEEK, "r1", "r2", "r3"),
    )
    fourth = (*SEEN, *reported("r1", HARASSMENT, "t1"), *reported("r2", HARASSMENT, "t2"), *reported("r3", SPAM, "t3"))
    answers = {"t1": False, "t2": True, "t3": True, "t4": True}
    given(*fourth).when(replace(report("r4", SPAM, "t4"), allowed=answers)).then(
        *reported("r4", SPAM, "t4"),
        reported("r1", HARASSMENT, "t1", needs_person=True)[1],
        suspended(25, "r2", "r3", "r4"),
    )


@pytest.mark.rule("MO6")
def test_once_a_person_upheld_it_the_report_counts_towards_a_suspension() -> None:
    upheld = (*SEEN, *reported("r1", HARASSMENT, "t1", needs_person=True), decided("r1", UPHELD))
    told = given(*upheld, *reported("r2", SPAM, "t2"))
    told.when(report("r3", SPAM, "t3")).then(*reported("r3", SPAM, "t3"), suspended(25, "r1", "r2", "r3"))


@pytest.mark.rule("MO6")
def test_reports_that_come_to_score_later_ask_for_their_reporters_before_they_suspend() -> None:
    late: Given = given(*SEEN, *reported("r1", DANGER, "t1"))
    due = SuspensionDue(client_id=CLIENT, report_ids=["r1"])
    late.when(replace(take_stock(at=3), allowed={})).then(due)
    asked = given(*SEEN, *reported("r1", DANGER, "t1"), due)
    asked.when(replace(take_stock(at=3), allowed={"t1": True})).then(suspended(27, "r1"))
    asked.when(replace(take_stock(at=3), allowed={"t1": False})).then(reported("r1", DANGER, needs_person=True)[1])


PEOPLE = [f"c{n}" for n in range(12)]
made = st.tuples(
    st.sampled_from(["t1"] * 5 + ["t2", "t3"]),
    st.sampled_from([DANGER] * 5 + [SPAM, HARASSMENT]),
    st.sampled_from([0, 0, 0, 1, 6, 25]),
)
reports = st.lists(st.tuples(st.permutations(PEOPLE), st.lists(made, min_size=12, max_size=12)), min_size=1, max_size=3)


@pytest.mark.rule("MO6.c")
@for_all(reports)
def test_no_reporter_ever_suspends_more_than_five_people_within_a_day(
    history: list[tuple[list[str], list[tuple[str, int, int]]]],
) -> None:
    """Each round reports everybody once, in any order."""
    practice = Practice()
    for number, (people, of_round) in enumerate(history):
        for person, (by, severity, wait) in zip(people, of_round, strict=True):
            practice.now += timedelta(hours=wait)
            practice.report(f"{person}-{number}", severity, by, person)
    for by in ("t1", "t2", "t3"):
        times = practice.suspensions_by(by)
        for last, _ in times:
            assert len({who for at, who in times if last - timedelta(days=1) < at <= last}) <= 5


class Practice:
    """People who wrote to three therapists, and what these report of them."""

    def __init__(self) -> None:
        self.now = START
        known = ClientStanding()
        for therapist in ("t1", "t2", "t3"):
            known = evolve(known, ContactSeen(client_id="c", therapist_id=therapist), START)
        self.people = dict.fromkeys(PEOPLE, known)
        self.reporters = dict.fromkeys(("t1", "t2", "t3"), Reporter())
        self.suspended: list[tuple[datetime, str, ClientSuspended]] = []

    def report(self, report_id: str, severity: int, by: str, person: str) -> None:
        answers: Allowed = {}
        made = replace(report(report_id, severity, by), client_id=person, now=self.now)
        while True:
            try:
                facts = decide(replace(made, allowed=answers), self.people[person]).facts
                break
            except NotAsked as due:
                answers = {reporter: self.allows(reporter, person) for reporter in due.reporter_ids}
        for fact in facts:
            self.people[person] = evolve(self.people[person], fact, self.now)
            if isinstance(fact, ClientSuspended):
                self.suspended.append((self.now, person, fact))

    def allows(self, reporter_id: str, person: str) -> bool:
        asked = AskToSuspend(reporter_id, person, DEFAULT, self.now)
        for fact in ask_to_suspend(asked, self.reporters[reporter_id]).facts:
            self.reporters[reporter_id] = evolve_reporter(self.reporters[reporter_id], fact, self.now)
        return person in self.reporters[reporter_id].people_suspended(DEFAULT, self.now)

    def suspensions_by(self, reporter_id: str) -> list[tuple[datetime, str]]:
        return [
            (at, person)
            for at, person, fact in self.suspended
            if any(self.people[person].reports[each].reporter_id == reporter_id for each in fact.report_ids)
        ]
