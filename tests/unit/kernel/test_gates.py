"""Gates: what a copy is worth, and what it never does."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from holdspace.kernel.v1.gate_pb2 import GateCopied
from kernel.decision import Decision
from kernel.errors import Rejected
from kernel.facts import timestamp
from kernel.gates import COPY_GATE, GATE, CopyGate, Gate, decide, gate_of, phase, phases, span_at, spans_of
from kernel.routes import Route, WrongRoute
from tests.gates import copy, gate, told_phase, told_spans
from tests.sentences import START, Sentences

COPYING = Sentences(GATE, decide)
HOUR = timedelta(hours=1)
SUSPENDED, GOOD = [told_phase("SUSPENDED")], [told_phase("GOOD")]


def copied(command: CopyGate) -> GateCopied:
    [fact] = decide(command, Gate()).facts
    assert isinstance(fact, GateCopied)
    return fact


def suspension(version: int, epoch: int = 1, **more: object) -> CopyGate:
    return replace(copy("standing", "c", SUSPENDED, version=version, epoch=epoch), **more)  # type: ignore[arg-type]


@pytest.mark.rule("MO5")
def test_a_copy_keeps_all_that_its_source_said_and_the_gate_answers_by_it() -> None:
    told = [phase("SUSPENDED", START + HOUR, closed=True), phase("GOOD")]
    command = replace(suspension(7, epoch=3), phases=told, source_type="test.Suspended", decided_at=START - HOUR)
    expected = GateCopied(
        gate="standing",
        subject="c",
        source="test/cell",
        epoch=3,
        source_version=7,
        decided_at=timestamp(START - HOUR),
        phases=told,
        source_type="test.Suspended",
    )
    COPYING.given().when(command).then(expected)
    state = COPYING.given(expected).state
    assert (state.source, state.epoch, state.version, state.decided_at) == ("test/cell", 3, 7, START - HOUR)
    assert [state.at(START), state.at(START + HOUR)] == ["SUSPENDED", "GOOD"]
    assert [state.closed_at(START), state.closed_at(START + HOUR)] == [True, False]


def test_phases_and_spans_say_the_same() -> None:
    spans = told_spans(("SUSPENDED", START + HOUR), ("GOOD", None))
    told = phases(spans)
    assert spans_of(told) == spans
    assert [(p.state, p.HasField("until"), p.closed) for p in told] == [
        ("SUSPENDED", True, True),
        ("GOOD", False, False),
    ]


@pytest.mark.rule("MO5")
def test_copies_go_before_other_commands_and_the_gate_is_read_by_the_person_that_a_command_names() -> None:
    command = suspension(1)
    assert COPY_GATE.urgent
    assert COPY_GATE.stream(command) == "gate-standing-c"
    read = gate_of("standing", "subject")
    assert (read.stream(command), read.subject and read.subject(command)) == ("gate-standing-c", "c")


@pytest.mark.rule("MO5")
def test_within_an_epoch_a_copy_never_goes_back_to_an_older_version() -> None:
    story = COPYING.given(copied(suspension(5)))
    for version in (5, 4):
        story.when(copy("standing", "c", GOOD, version=version)).then()
    assert story.when(copy("standing", "c", GOOD, version=6)).decision().facts


@pytest.mark.rule("MO5", "AV4")
def test_after_a_restore_a_version_that_is_used_again_is_news_and_what_came_before_it_is_not() -> None:
    lost = copied(copy("standing", "c", GOOD, version=10))
    [banned] = COPYING.given(lost).when(suspension(9, epoch=2)).decision().facts
    assert (banned.epoch, banned.source_version, banned.begins_epoch) == (2, 9, True)
    after = COPYING.given(lost, banned)
    after.when(copy("standing", "c", GOOD, version=11, epoch=1)).then()
    [later] = after.when(copy("standing", "c", GOOD, version=10, epoch=2)).decision().facts
    assert later.begins_epoch is False


@pytest.mark.rule("MO5")
def test_between_two_cells_the_later_decision_counts_whatever_their_versions() -> None:
    story = COPYING.given(copied(suspension(1, decided_at=START + HOUR)))
    story.when(copy("standing", "c", GOOD, version=99, source="test/other", decided_at=START)).then()
    story.when(copy("standing", "c", GOOD, version=99, source="test/other", decided_at=START + HOUR)).then()
    lift = copy("standing", "c", GOOD, version=1, epoch=2, source="test/other", decided_at=START + 2 * HOUR)
    [lifted] = story.when(lift).decision().facts
    assert (lifted.source, lifted.begins_epoch) == ("test/other", False)  # Its epochs are its own.


def test_what_was_never_decided_is_open_and_nameless() -> None:
    assert (Gate().at(START), Gate().closed_at(START)) == ("", False)
    assert span_at((), START).state == ""
    assert phase("GOOD").closed is False


def test_after_the_end_of_the_last_state_that_one_goes_on() -> None:
    ended = told_spans(("SUSPENDED", START), ("BRAKED", START + HOUR), ("BANNED", START + 2 * HOUR))
    assert span_at(ended, START + 3 * HOUR).state == "BANNED"


def test_a_state_ends_by_the_time_it_carries_and_closed_is_what_the_source_says() -> None:
    timed = replace(Gate(), spans=told_spans(("SUSPENDED", START + HOUR), ("BRAKED", START + 2 * HOUR), ("GOOD", None)))
    states = [(timed.at(START + n * HOUR), timed.closed_at(START + n * HOUR)) for n in range(4)]
    assert states == [("SUSPENDED", True), ("BRAKED", False), ("GOOD", False), ("GOOD", False)]


def refusal(ask: Callable[[], object]) -> str:
    with pytest.raises(Rejected) as caught:
        ask()
    return caught.value.reason


@pytest.mark.rule("MO5", "AV4")
def test_a_gate_whose_copies_lack_a_fact_is_closed_and_says_why() -> None:
    parked = gate("GOOD").seen(is_fresh=False, is_parked=True)
    for ask in (lambda: parked.at(START), lambda: parked.closed_at(START), parked.must_be_fresh):
        assert refusal(ask) == "GATE_PARKED"
    stale = gate("GOOD").seen(is_fresh=False, is_parked=False)
    assert refusal(stale.must_be_fresh) == "GATE_STALE"
    for fresh in (gate("GOOD"), stale.seen(is_fresh=True, is_parked=False)):
        fresh.must_be_fresh()
    assert stale.at(START) == "GOOD"  # What may be decided on it is the decision's to say.
    assert (parked.last_known_at(START), gate("BANNED").last_known_closed_at(START)) == ("GOOD", True)


def test_a_decider_that_does_not_take_what_its_route_reads_is_refused_when_the_table_is_made() -> None:
    def swapped(command: CopyGate, state: Gate, *, client: Gate) -> Decision:
        return Decision()

    def by_position(command: CopyGate, state: Gate, therapist: Gate) -> Decision:
        return Decision()

    read = next(iter(COPY_GATE.reads.values()), None)
    assert read is None
    for decider in (swapped, by_position):
        with pytest.raises(WrongRoute, match="CopyGate"):
            Route(CopyGate, lambda command: "s", GATE, decider, reads={"therapist": object()})  # type: ignore[dict-item]
