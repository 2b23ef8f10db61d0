"""What a measure withholds and a lift gives back, in whatever order they arrive."""

from datetime import datetime, timedelta
from itertools import permutations
from typing import Any

import pytest
from google.protobuf.message import Message

from holdspace.messaging.v1.events_pb2 import MessagesRestored, MessagesWithheld
from holdspace.messaging.v1.private_pb2 import GapSearched, MeasuresLifted
from kernel.facts import timestamp
from services.messaging.app import CONVERSATION, MEASURES
from services.messaging.domain import measures as domain
from services.messaging.domain.conversation import Conversation
from services.messaging.domain.measures import Gap, LiftMeasures, Measures, SearchGap, StandingDecision, message_of
from services.messaging.domain.withholding import (
    SEQUENCES_MAX,
    RestoreMessages,
    WithholdMessages,
    restore,
    withhold,
)
from tests.sentences import START, Sentences
from tests.unit.messaging.test_conversation import OPENED, PAIR, sent

CONVERSATIONS = Sentences(CONVERSATION, {WithholdMessages: withhold, RestoreMessages: restore})
PERSONS = Sentences(MEASURES, {SearchGap: domain.search_gap, LiftMeasures: domain.lift_measures})


def decision(version: int, person: str = "c", *, epoch: int = 1, source: str = "moderation/a") -> StandingDecision:
    return StandingDecision(person, source, epoch, version, START + timedelta(minutes=version))


MEASURE, LIFT, AGAIN = decision(1), decision(2), decision(3)
NOTHING_LIFTED = Measures()


def lifted_by(*lifts: StandingDecision) -> Measures:
    return Measures(lifts={lift.source: (lift, "") for lift in lifts})


def withholding(measure: StandingDecision, *sequences: int) -> WithholdMessages:
    return WithholdMessages(PAIR["conversation_id"], sequences, measure, START)


def restoring(lift: StandingDecision) -> RestoreMessages:
    return RestoreMessages(PAIR["conversation_id"], lift, START)


def withheld(measure: StandingDecision, *sequences: int) -> MessagesWithheld:
    return MessagesWithheld(**PAIR, sequences=sequences, measure=message_of(measure))


def restored(lift: StandingDecision, *sequences: int) -> MessagesRestored:
    return MessagesRestored(**PAIR, sequences=sequences, lift=message_of(lift))


SENT = (OPENED, sent(1), sent(2), sent(3))


@pytest.mark.rule("MO5", "MO4")
def test_messages_are_withheld_once_and_restored_as_they_were() -> None:
    CONVERSATIONS.given(*SENT).when(withholding(MEASURE, 3, 2), NOTHING_LIFTED).then(withheld(MEASURE, 2, 3))
    given = CONVERSATIONS.given(*SENT, withheld(MEASURE, 2, 3))
    given.when(withholding(MEASURE, 3, 2), NOTHING_LIFTED).then()
    given.when(restoring(LIFT)).then(restored(LIFT, 2, 3))
    CONVERSATIONS.given(*SENT, withheld(MEASURE, 2, 3), restored(LIFT, 2, 3)).when(restoring(LIFT)).then()


@pytest.mark.rule("MO4")
def test_a_measure_that_is_lifted_already_withholds_nothing() -> None:
    CONVERSATIONS.given(*SENT).when(withholding(MEASURE, 2), lifted_by(LIFT)).then()
    CONVERSATIONS.given(*SENT).when(withholding(AGAIN, 2), lifted_by(LIFT)).then(withheld(AGAIN, 2))


@pytest.mark.rule("MO4", "MO5")
def test_a_lift_gives_back_nothing_that_a_later_measure_withholds() -> None:
    CONVERSATIONS.given(*SENT, withheld(AGAIN, 2)).when(restoring(LIFT)).then()
    both = CONVERSATIONS.given(*SENT, withheld(MEASURE, 1, 2))
    both.when(withholding(AGAIN, 2, 3), NOTHING_LIFTED).then(withheld(AGAIN, 2, 3))
    CONVERSATIONS.given(*SENT, withheld(MEASURE, 1, 2), withheld(AGAIN, 2, 3)).when(restoring(LIFT)).then(
        restored(LIFT, 1)
    )


def test_a_lift_for_one_side_gives_back_nothing_of_the_other() -> None:
    theirs = decision(1, "t")
    given = CONVERSATIONS.given(*SENT, withheld(MEASURE, 1), withheld(theirs, 2))
    given.when(restoring(LIFT)).then(restored(LIFT, 1))
    given.when(restoring(decision(2, "t"))).then(restored(decision(2, "t"), 2))


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        (decision(1), decision(2)),
        (decision(9, epoch=1), decision(1, epoch=2)),
        (decision(1, source="moderation/b"), decision(2)),
    ],
)
def test_decisions_are_ordered_by_epoch_and_version_and_between_sources_by_time(
    earlier: StandingDecision, later: StandingDecision
) -> None:
    assert earlier.is_before(later)
    assert not later.is_before(earlier)
    assert not earlier.is_before(earlier)
    assert not earlier._replace(person_id="x").is_before(later)


@pytest.mark.rule("MO5")
def test_many_messages_are_withheld_and_restored_in_facts_of_a_thousand() -> None:
    many = range(1, 2 * SEQUENCES_MAX + 2)
    parts = [many[:SEQUENCES_MAX], many[SEQUENCES_MAX : 2 * SEQUENCES_MAX], many[2 * SEQUENCES_MAX :]]
    facts = [withheld(MEASURE, *part) for part in parts]
    CONVERSATIONS.given(OPENED).when(withholding(MEASURE, *many), NOTHING_LIFTED).then(*facts)
    CONVERSATIONS.given(OPENED, *facts).when(restoring(LIFT)).then(*(restored(LIFT, *part) for part in parts))


def search(measure: StandingDecision, gap: Gap, further_than: int | None = None) -> SearchGap:
    return SearchGap(measure=measure, closed_until=None, gap=gap, further_than=further_than, now=START)


def searched(measure: StandingDecision, gap: Gap) -> GapSearched:
    return GapSearched(
        person_id=measure.person_id,
        measure=message_of(measure),
        down_to=gap.down_to,
        messages=gap.messages,
        over=gap.is_over,
    )


def lifted(lift: StandingDecision, up_to: str = "") -> MeasuresLifted:
    return MeasuresLifted(person_id=lift.person_id, lift=message_of(lift), up_to_conversation_id=up_to)


BEGUN, FURTHER, OVER = Gap(900, 0), Gap(500, 40), Gap(100, 55, is_over=True)


@pytest.mark.rule("MO5")
def test_a_gap_is_searched_part_by_part_and_each_part_once() -> None:
    PERSONS.given().when(search(MEASURE, BEGUN)).then(searched(MEASURE, BEGUN))
    given = PERSONS.given(searched(MEASURE, BEGUN))
    given.when(search(MEASURE, BEGUN)).then()
    given.when(search(MEASURE, FURTHER, 900)).then(searched(MEASURE, FURTHER))
    given.when(search(MEASURE, OVER, 500)).then()
    given = PERSONS.given(searched(MEASURE, FURTHER))
    given.when(search(MEASURE, OVER, 500)).then(searched(MEASURE, OVER))
    assert PERSONS.given(searched(MEASURE, OVER)).state.gaps == {MEASURE: OVER}
    given.when(search(AGAIN, BEGUN)).then(searched(AGAIN, BEGUN))


def test_when_a_measure_ends_by_itself_is_kept_with_its_gap() -> None:
    until = START + timedelta(hours=1)
    command = SearchGap(measure=MEASURE, closed_until=until, gap=BEGUN, further_than=None, now=START)
    [fact] = PERSONS.given().when(command).decision().facts
    assert isinstance(fact, GapSearched)
    assert fact.closed_until == timestamp(until)


@pytest.mark.rule("MO4")
def test_a_lift_ends_the_search_for_what_an_earlier_measure_would_withhold() -> None:
    given = PERSONS.given(searched(MEASURE, BEGUN), lifted(LIFT))
    given.when(search(MEASURE, FURTHER, 900)).then()
    given.when(search(AGAIN, BEGUN)).then(searched(AGAIN, BEGUN))
    PERSONS.given(lifted(LIFT)).when(search(MEASURE, BEGUN)).then()
    both = PERSONS.given(searched(MEASURE, BEGUN), searched(AGAIN, FURTHER), lifted(LIFT))
    assert both.state.gaps == {AGAIN: FURTHER}


def test_a_lift_goes_on_where_it_was_and_never_back() -> None:
    PERSONS.given().when(LiftMeasures(lift=LIFT, now=START)).then(lifted(LIFT))
    given = PERSONS.given(lifted(LIFT), lifted(LIFT, "k"))
    given.when(LiftMeasures(lift=LIFT, up_to="p", now=START)).then(lifted(LIFT, "p"))
    for up_to in ("", "a", "k"):
        given.when(LiftMeasures(lift=LIFT, up_to=up_to, now=START)).then()
    given.when(LiftMeasures(lift=decision(1), now=START)).then()
    given.when(LiftMeasures(lift=decision(4), now=START)).then(lifted(decision(4)))
    given.when(LiftMeasures(lift=decision(1, source="moderation/b"), now=START)).then(
        lifted(decision(1, source="moderation/b"))
    )


def carried_out(order: tuple[str, ...], *, again: bool) -> tuple[Measures, Conversation]:
    """Runs what follows from a measure and its lift in this order, each once or twice."""
    measures: Any = MEASURES.initial
    conversation: Any = CONVERSATION.initial
    for second, fact in enumerate(SENT):
        conversation = CONVERSATION.evolve(conversation, fact, START + timedelta(seconds=second))
    for step in order * (2 if again else 1):
        facts: list[Message] = []
        match step:
            case "search":
                facts += domain.search_gap(search(MEASURE, BEGUN), measures).facts
            case "lift":
                facts += domain.lift_measures(LiftMeasures(lift=LIFT, now=START), measures).facts
            case "withhold":
                facts += withhold(withholding(MEASURE, 2, 3), conversation, measures=measures).facts
            case "restore" if measures.lifts:  # It follows from the lift's own fact.
                facts += restore(restoring(LIFT), conversation).facts
        measures, conversation = folded(measures, conversation, facts, START)
    return measures, conversation


def folded(measures: Any, conversation: Any, facts: list[Message], at: datetime) -> tuple[Any, Any]:
    for fact in facts:
        if isinstance(fact, GapSearched | MeasuresLifted):
            measures = MEASURES.evolve(measures, fact, at)
        else:
            conversation = CONVERSATION.evolve(conversation, fact, at)
    return measures, conversation


ORDERS = [order for order in permutations(("search", "withhold", "lift", "restore")) if order[-1] == "restore"]


@pytest.mark.rule("MO4")
@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("order", ORDERS, ids=" ".join)
def test_in_whatever_order_a_measure_and_its_lift_are_carried_out_nothing_stays_withheld(
    order: tuple[str, ...], again: bool
) -> None:
    measures, conversation = carried_out(order, again=again)
    assert measures.are_lifted(MEASURE)
    assert conversation.withheld == {}
