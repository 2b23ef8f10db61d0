"""What holds after any history of reports, contacts, decisions and time."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from holdspace.moderation.v1 import events_pb2, private_pb2
from holdspace.moderation.v1.events_pb2 import (  # fmt: skip
    BrakeLapsed,
    ClientBraked,
    ClientReported,
    ClientSuspended,
    ReportDecided,
    SuspensionLapsed,
)
from holdspace.moderation.v1.private_pb2 import ContactSeen, ReportWeighed
from kernel.errors import Rejected
from kernel.facts import FactTypes, Origin, instant, open_envelope
from kernel.gates import Span
from services.moderation.domain.client_standing import ClientStanding, Fact, evolve
from services.moderation.domain.policy import DEFAULT
from services.moderation.domain.reporter import Reporter
from services.moderation.domain.reports import scoring, tally
from tests.clocks import process_clock
from tests.sentences import START
from tests.unit.moderation.words import (
    BAD_FAITH,
    DANGER,
    DAY,
    DISMISSED,
    ENROLLED,
    HARASSMENT,
    LIFTED,
    REVERSED,
    SPAM,
    UPHELD,
    ban,
    brake,
    confirm,
    contact,
    decide,
    decide_report,
    hour,
    record_ends,
    reinstate,
    report,
    suspend,
    take_stock,
    warn,
)

RANK = ["GOOD", "BRAKED", "SUSPENDED", "BANNED"]
FACT_TYPES = FactTypes(events_pb2, private_pb2)
RUINED = ClientStanding(phases=(Span("BANNED"),))


@dataclass
class Client:
    """One client's stream, decided on by hand. With `timers`, ends are recorded when they come."""

    timers: bool
    standing: ClientStanding = field(default_factory=ClientStanding)
    facts: list[tuple[datetime, Fact]] = field(default_factory=list)

    def run(self, command: Any, *read: object) -> None:
        while self.timers and (end := self.standing.phases[0][1]) is not None and end <= command.now:
            self._take(replace(record_ends(0), now=end))
        decided = self._take(command, *read)
        if "reports-score" in decided:
            self._take(replace(take_stock(), now=command.now))

    def _take(self, command: Any, *read: object) -> Sequence[str]:
        try:
            decision = decide(command, self.standing, *read)
        except Rejected:
            return ()
        for fact in decision.facts:
            self.standing = evolve(self.standing, fact, command.now)
            self.facts.append((command.now, fact))
        return [timer.name for timer in decision.timers]


gaps = st.sampled_from([0, 0, 0.5, 1, 12, 24, 24.5, 7 * DAY, 8 * DAY])
reporters = st.integers(0, 4)
terms = st.sampled_from([None, 1.0, 30.0, 200.0])
standings = st.sampled_from([ClientStanding()] * 4 + [RUINED])
records = st.sampled_from([Reporter()] * 4 + [Reporter(frozenset("x")), Reporter(frozenset("xy"))])


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[Any, ...]]:
    """Returns commands in the order of their times, each with what it reads."""
    now, history = 0.0, []
    kinds = ["report"] * 5 + ["contact"] * 4 + ["find"] * 2 + ["measure"]
    for number, kind in enumerate(draw(st.lists(st.sampled_from(kinds), max_size=25))):
        now += draw(gaps)
        reporter = draw(reporters)
        if kind == "report":
            asked = report(f"r{number}", draw(st.sampled_from([SPAM, SPAM, HARASSMENT, DANGER])), f"t{reporter}", now)
            history.append((asked, ENROLLED, draw(standings), draw(records)))
        elif kind == "contact":
            history.append((contact(f"t{reporter}", now),))
        elif kind == "find":
            found = draw(st.sampled_from([UPHELD, DISMISSED, BAD_FAITH]))
            history.append((decide_report(f"r{draw(st.integers(0, 25))}", found, at=now),))
        else:
            history.append((draw(measures(now)),))
    return history


@st.composite
def measures(draw: st.DrawFn, now: float) -> Any:
    term = draw(terms)
    until = None if term is None else now + term
    return draw(
        st.sampled_from(
            [
                warn(at=now),
                brake(until, at=now),
                suspend(until, at=now),
                confirm(until, at=now),
                reinstate(LIFTED, at=now),
                reinstate(REVERSED, at=now),
                ban(at=now),
            ]
        )
    )


def lived(history: Iterable[tuple[Any, ...]], *, timers: bool = True) -> Client:
    client = Client(timers)
    for command, *read in history:
        client.run(command, *read)
    return client


@pytest.mark.rule("MO4.g")
@for_all(histories())
def test_time_alone_never_makes_a_standing_worse(history: list[tuple[Any, ...]]) -> None:
    client = lived(history)
    ranks = [RANK.index(client.standing.at(hour(h))) for h in range(0, 3_000, 12)]
    assert ranks == sorted(ranks, reverse=True)


@pytest.mark.rule("MO1", "MO4")
@for_all(histories())
def test_when_ends_are_recorded_changes_nothing_but_when_they_are_recorded(history: list[tuple[Any, ...]]) -> None:
    in_time, late = lived(history), lived(history, timers=False)
    now = history[-1][0].now if history else START
    assert [in_time.standing.at(now + timedelta(hours=h)) for h in range(0, 1_000, 6)] == [
        late.standing.at(now + timedelta(hours=h)) for h in range(0, 1_000, 6)
    ]
    assert without_lapses(in_time.facts) == without_lapses(late.facts)


def without_lapses(facts: Iterable[tuple[datetime, Fact]]) -> list[tuple[datetime, Fact]]:
    return [(at, fact) for at, fact in facts if not isinstance(fact, SuspensionLapsed | BrakeLapsed)]


CLOCKS = ((timedelta(), "UTC"), (timedelta(days=-9_000), "Asia/Kathmandu"), (timedelta(days=9_000), "America/New_York"))


@pytest.mark.rule("MO1")
@for_all(histories())
def test_a_history_is_decided_and_folded_to_the_same_bytes_on_any_clock(history: list[tuple[Any, ...]]) -> None:
    decided, folded = [], []
    for away, zone in CLOCKS:
        with process_clock(away, zone):
            decided.append([FACT_TYPES.seal(fact, "f", at, Origin("moderation")) for at, fact in lived(history).facts])
    assert decided == decided[:1] * len(CLOCKS)
    for away, zone in CLOCKS:
        with process_clock(away, zone):
            replayed = ClientStanding()
            for envelope in map(open_envelope, decided[0]):
                replayed = evolve(replayed, FACT_TYPES.payload(envelope), instant(envelope.occurred_at))
            folded.append(all_of(replayed))
    assert folded == folded[:1] * len(CLOCKS)


def all_of(standing: ClientStanding) -> bytes:
    """Returns all there is in a standing, the sets in it sorted."""
    return json.dumps(
        asdict(standing), default=lambda it: sorted(it) if isinstance(it, frozenset) else str(it)
    ).encode()


@pytest.mark.rule("MO10")
@for_all(histories())
def test_the_score_counts_no_reporter_twice_nor_one_the_client_never_wrote_to(history: list[tuple[Any, ...]]) -> None:
    client = lived(history)
    standing, now = client.standing, history[-1][0].now if history else START
    counted = tally(scoring(standing.reports, standing.contacts, DEFAULT, now), DEFAULT)
    votes = list(counted_by_hand([fact for _, fact in client.facts]).values())
    assert (counted.score, counted.reporters) == (sum(votes), len(votes))


@pytest.mark.rule("MO10")
@for_all(histories())
def test_the_policy_takes_no_measure_without_its_grounds(history: list[tuple[Any, ...]]) -> None:
    facts = [fact for _, fact in lived(history).facts]
    for place, fact in enumerate(facts):
        if not isinstance(fact, ClientSuspended | ClientBraked) or fact.moderator_id:
            continue
        votes = counted_by_hand(facts[:place], set(fact.report_ids))
        grounds = [f for f in facts[:place] if isinstance(f, ClientReported) and f.report_id in fact.report_ids]
        if isinstance(fact, ClientBraked):
            assert sum(votes.values()) >= 2_000
            assert len(votes) >= 2
        elif any(ground.severity != DANGER for ground in grounds):
            assert sum(votes.values()) >= 4_000
            assert len(votes) >= 3


@pytest.mark.rule("MO4.i")
@for_all(histories())
def test_the_policy_suspends_by_no_report_twice_before_a_person_decided_about_it(
    history: list[tuple[Any, ...]],
) -> None:
    suspended_by: set[str] = set()
    decided: set[str] = set()
    for _, fact in lived(history).facts:
        if isinstance(fact, ReportDecided):
            decided.add(fact.report_id)
        if isinstance(fact, ClientSuspended):
            if not fact.moderator_id:
                assert not (suspended_by - decided).intersection(fact.report_ids)
            suspended_by |= set(fact.report_ids)


@pytest.mark.rule("MO4.i")
@for_all(histories())
def test_the_policy_takes_no_measure_by_what_was_open_when_a_person_took_or_reversed_one(
    history: list[tuple[Any, ...]],
) -> None:
    before_a_person: set[str] = set()
    for _, fact in lived(history).facts:
        if isinstance(fact, ReportDecided) or not hasattr(fact, "report_ids"):
            continue
        if getattr(fact, "moderator_id", ""):
            before_a_person |= set(fact.report_ids)
        else:
            assert not before_a_person.intersection(fact.report_ids)


def counted_by_hand(facts: Iterable[Fact], only: set[str] | None = None) -> dict[str, int]:
    """Returns the votes above zero by reporter, as somebody would count them who reads the facts for the first time."""
    told = list(facts)
    contacts = {fact.therapist_id for fact in told if isinstance(fact, ContactSeen)}
    findings = {fact.report_id: fact.finding for fact in told if isinstance(fact, ReportDecided)}
    weights = {fact.report_id: fact.reliability for fact in told if isinstance(fact, ReportWeighed)}
    votes: dict[str, int] = {}
    for fact in told:
        if not isinstance(fact, ClientReported) or (only is not None and fact.report_id not in only):
            continue
        if fact.reporter_id in contacts and findings.get(fact.report_id) not in (DISMISSED, BAD_FAITH):
            weight = {SPAM: 1, HARASSMENT: 2, DANGER: 4}[fact.severity] * weights[fact.report_id]
            votes[fact.reporter_id] = max(weight, votes.get(fact.reporter_id, 0))
    return {reporter: vote for reporter, vote in votes.items() if vote}
