"""A report counts towards one measure of a kind: what it takes to keep somebody from the platform, and for how long."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from holdspace.moderation.v1.events_pb2 import ClientBraked, ClientSuspended
from kernel.errors import Rejected
from services.moderation.domain.client_standing import ClientStanding, Fact, evolve
from services.moderation.domain.policy import DEFAULT
from services.moderation.domain.reporting import NoteContact, ReportClient
from tests.sentences import at
from tests.unit.moderation.words import (
    DANGER,
    DAY,
    DISMISSED,
    HARASSMENT,
    LIFTED,
    MODERATOR,
    REVERSED,
    SPAM,
    UPHELD,
    banned,
    brake_lapsed,
    braked,
    confirmed,
    contact,
    contact_seen,
    decide,
    decided,
    given,
    hour,
    reinstated,
    report,
    reported,
    suspended,
    suspension_lapsed,
    warned,
)

WEEK = 7 * DAY
SEEN = tuple(contact_seen(f"t{n}") for n in range(1, 7))
BRAKED = (*SEEN, *reported("r1", SPAM, "t1"), *reported("r2", SPAM, "t2"), at(hour(0), braked(WEEK, "r1", "r2")))
BRAKE_SERVED = (*BRAKED, at(hour(WEEK), brake_lapsed()))
SUSPENDED = (*SEEN, *reported("r1", DANGER, "t1"), at(hour(0), suspended(24, "r1")))
SUSPENSION_SERVED = (
    *SUSPENDED,
    at(hour(24), suspension_lapsed(24 + WEEK)),
    at(hour(24 + WEEK), brake_lapsed()),
)


@pytest.mark.rule("MO4.i", "MO10")
def test_after_a_brake_was_served_one_report_more_is_not_enough_again() -> None:
    given(*BRAKE_SERVED).when(report("r3", SPAM, "t3", at=200)).then(*reported("r3", SPAM, "t3"))
    fourth = given(*BRAKE_SERVED, *reported("r3", SPAM, "t3")).when(report("r4", SPAM, "t4", at=200))
    fourth.then(*reported("r4", SPAM, "t4"), suspended(224, "r1", "r2", "r3", "r4"))  # what braked still adds up
    dismissed = (*BRAKE_SERVED, decided("r1", DISMISSED), *reported("r3", SPAM, "t3"))
    given(*dismissed).when(report("r4", SPAM, "t4", at=200)).then(
        *reported("r4", SPAM, "t4"), braked(200 + WEEK, "r3", "r4")
    )  # fmt: skip


@pytest.mark.rule("MO4.i", "MO10")
def test_who_braked_once_brakes_again_by_something_graver_or_when_their_report_was_decided() -> None:
    again = (*BRAKE_SERVED, *reported("r3", SPAM, "t1"))
    given(*again).when(report("r4", SPAM, "t2", at=200)).then(*reported("r4", SPAM, "t2"))
    given(*BRAKE_SERVED, *reported("r3", HARASSMENT, "t1")).when(report("r4", HARASSMENT, "t2", at=200)).then(
        *reported("r4", HARASSMENT, "t2"), braked(200 + WEEK, "r3", "r4")
    )
    for finding in (UPHELD, DISMISSED):
        told = (*BRAKE_SERVED, decided("r1", finding), decided("r2", finding, "t2"), *reported("r3", SPAM, "t1"))
        given(*told).when(report("r4", SPAM, "t2", at=200)).then(
            *reported("r4", SPAM, "t2"), braked(200 + WEEK, "r3", "r4")
        )


@pytest.mark.rule("MO4.i")
def test_the_reports_of_a_suspension_that_was_served_brake_no_more() -> None:
    for finding in ((), (decided("r1", UPHELD),)):
        given(*SUSPENSION_SERVED, *finding).when(report("r2", SPAM, "t2", at=200)).then(*reported("r2", SPAM, "t2"))


@pytest.mark.rule("MO4.i")
def test_the_reports_of_a_brake_still_count_towards_a_suspension_and_towards_one() -> None:
    third = (*BRAKED, *reported("r3", HARASSMENT, "t3"))
    given(*BRAKED).when(report("r3", HARASSMENT, "t3")).then(*third[-2:], suspended(25, "r1", "r2", "r3"))
    served = (*third, at(hour(1), suspended(25, "r1", "r2", "r3")), at(hour(25), suspension_lapsed(25 + WEEK)))
    given(*served).when(report("r4", HARASSMENT, "t4", at=30)).then(*reported("r4", HARASSMENT, "t4"))


@pytest.mark.rule("MO4.i")
def test_an_upheld_report_of_a_lapsed_suspension_suspends_once_more_and_not_a_third_time() -> None:
    others = (*reported("r2", SPAM, "t2"), *reported("r3", SPAM, "t3"))
    again = (*SUSPENDED, decided("r1", UPHELD), at(hour(24), suspension_lapsed(24 + WEEK)), *others[:2])
    given(*again).when(report("r3", SPAM, "t3", at=30)).then(*others[2:], suspended(54, "r1", "r2", "r3"))
    served = (*again, *others[2:], at(hour(30), suspended(54, "r1", "r2", "r3")), decided("r2", UPHELD, "t2"))
    lapsed = (*served, decided("r3", UPHELD, "t3"), at(hour(54), suspension_lapsed(54 + WEEK)))
    given(*lapsed).when(report("r4", SPAM, "t4", at=60)).then(*reported("r4", SPAM, "t4"))


@pytest.mark.rule("MO4.i")
@pytest.mark.parametrize(
    "by_a_person",
    [
        warned(),
        braked(WEEK, by=MODERATOR),
        suspended(48, by=MODERATOR),
        confirmed(),
        banned(),
        reinstated(LIFTED),
        reinstated(REVERSED),
    ],
)
@pytest.mark.parametrize("finding", [(), (decided("r1", UPHELD),)])
def test_what_was_open_when_a_person_decided_or_reversed_brings_about_nothing_more(
    by_a_person: Fact, finding: tuple[Fact, ...]
) -> None:
    """Also what only scores later, since its contact was not seen yet."""
    open_reports = (*SEEN[1:], *reported("r1", DANGER, "t1"), *reported("r2", HARASSMENT, "t2"), *finding)
    over = (at(hour(2), by_a_person), at(hour(3), reinstated()))
    given(*open_reports, *over, SEEN[0]).when(report("r3", SPAM, "t3", at=200)).then(*reported("r3", SPAM, "t3"))
    new = (*open_reports, *over, SEEN[0], *reported("r3", SPAM, "t1"))
    given(*new).when(report("r4", SPAM, "t2", at=200)).then(
        *reported("r4", SPAM, "t2"), braked(200 + WEEK, "r3", "r4")
    )  # fmt: skip
    given(*new).when(report("r4", DANGER, "t1", at=200)).then(
        *reported("r4", DANGER, "t1"), suspended(224, "r4")
    )  # fmt: skip


@pytest.mark.rule("MO4")
def test_a_report_that_was_dismissed_when_a_person_decided_counts_once_it_is_upheld() -> None:
    told = (*SEEN, *reported("r1", HARASSMENT, "t1"), decided("r1", DISMISSED), warned(), decided("r1", UPHELD))
    given(*told).when(report("r2", SPAM, "t2")).then(*reported("r2", SPAM, "t2"), braked(1 + WEEK, "r1", "r2"))


@pytest.mark.rule("MO4.j")
def test_an_upheld_report_loses_its_weight_after_180_days_and_an_undecided_one_does_not() -> None:
    old = (*SEEN, *reported("r1", SPAM, "t1"))
    upheld = given(*old, at(hour(5), decided("r1", UPHELD)))
    last = 5 + 180 * DAY
    upheld.when(report("r2", SPAM, "t2", at=last - 0.001)).then(
        *reported("r2", SPAM, "t2"), braked(last - 0.001 + WEEK, "r1", "r2")
    )
    upheld.when(report("r2", SPAM, "t2", at=last)).then(*reported("r2", SPAM, "t2"))
    given(*old).when(report("r2", SPAM, "t2", at=last)).then(
        *reported("r2", SPAM, "t2"), braked(last + WEEK, "r1", "r2")
    )  # fmt: skip


class Weeks:
    """A client nobody decides about, as their stream has it: told what is reported, with time passing in between."""

    def __init__(self, reporters: int) -> None:
        self.now = hour(0)
        self.standing = ClientStanding()
        self.facts: list[Fact] = []
        for n in range(reporters):
            self._run(contact(f"t{n}"))

    def report(self, severity: int, by: int) -> bool:
        """Returns whether it was taken."""
        made = len(self.standing.reports)
        try:
            self._run(report(f"r{made}", severity, f"t{by}"))
        except Rejected:
            return False
        return True

    def _run(self, command: ReportClient | NoteContact) -> None:
        for fact in decide(replace(command, now=self.now), self.standing).facts:
            self.standing = evolve(self.standing, fact, self.now)
            self.facts.append(fact)

    def measures(self) -> list[Fact]:
        return [fact for fact in self.facts if isinstance(fact, ClientBraked | ClientSuspended)]


@pytest.mark.rule("MO10.d")
@pytest.mark.parametrize(("severities", "weeks_braked"), [((SPAM,), 1), ((SPAM, HARASSMENT), 2)])
def test_two_reporters_alone_brake_an_innocent_client_for_a_week_by_each_severity_whatever_they_repeat(
    severities: tuple[int, ...], weeks_braked: int
) -> None:
    client = Weeks(2)
    braked_days = 0
    for day in range(400):
        client.now = hour(day * DAY)
        for severity in severities:
            for by in range(2):
                client.report(severity, by)
        braked_days += client.standing.at(client.now) != "GOOD"
    assert braked_days == 7 * weeks_braked
    assert len(client.measures()) == weeks_braked


@pytest.mark.rule("MO10")
@for_all(
    st.lists(
        st.tuples(st.integers(0, 3), st.sampled_from([SPAM, SPAM, HARASSMENT]), st.sampled_from([0, 1, 24, 200, 800])),
        max_size=40,
    )
)
def test_reporters_who_are_never_heard_take_one_measure_of_a_kind_by_each_severity(
    history: Iterable[tuple[int, int, int]],
) -> None:
    client = Weeks(4)
    for by, severity, wait in history:
        client.now += timedelta(hours=wait)
        client.report(severity, by)
    for kind in (ClientBraked, ClientSuspended):
        used: dict[str, int] = {}
        for fact in client.measures():
            if not isinstance(fact, kind):
                continue
            for report_id in fact.report_ids:
                known = client.standing.reports[report_id]
                assert DEFAULT.weights[known.severity] > used.get(known.reporter_id, 0), "a vote counted twice"
            for report_id in fact.report_ids:
                known = client.standing.reports[report_id]
                used[known.reporter_id] = max(used.get(known.reporter_id, 0), DEFAULT.weights[known.severity])
