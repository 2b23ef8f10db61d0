"""Lines of another system: who is the therapist, which line is which, and what does not fit."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from holdspace.messaging.v1.events_pb2 import (
    EXPECTATION_REPLY,
    MESSAGE_KIND_TEXT,
    ROLES_FROM_ENROLMENT,
    ROLES_FROM_GUESS,
    ROLES_FROM_LINE,
    ROLES_FROM_LIST,
    SIDE_CLIENT,
    SIDE_THERAPIST,
    SIDE_UNSPECIFIED,
    ConversationOpened,
    ImportedLine,
    MessageSent,
    RolesFrom,
    Side,
    TherapistImported,
)
from kernel.facts import timestamp
from kernel.gates import Gate
from services.messaging.app import CONVERSATION
from services.messaging.domain import history as domain
from services.messaging.domain.conversation import Conversation, conversation_id
from services.messaging.domain.history import ImportMessage
from services.messaging.domain.lines import Line, Lines
from tests.gates import gate
from tests.sentences import START, Given, Sentences, Timed, When, at

IMPORTING = Sentences(CONVERSATION, domain.import_message)
NOBODY = Gate()
ENROLLED = gate("ENROLLED")
WITHDRAWN = gate("WITHDRAWN")
TODAY = START + timedelta(days=30)
PAIR = {"conversation_id": conversation_id("c", "t"), "client_id": "c", "therapist_id": "t"}
TURNED = {"conversation_id": conversation_id("c", "t"), "client_id": "t", "therapist_id": "c"}


def line(number: int, who: str = "c", *, hours: float = 0, **more: Any) -> ImportMessage:
    """A line between c and t."""
    asked = ImportMessage(
        source="old",
        part_id="a",
        line=number,
        sender_id=who,
        recipient_id="t" if who == "c" else "c",
        sender=SIDE_UNSPECIFIED,
        therapist_ids=frozenset(),
        message_id="m",
        today=TODAY,
        now=START + timedelta(hours=hours),
    )
    return replace(asked, **more)


def imported(sequence: int, number: int, *, hours: float = 0, part_id: str = "a", **more: Any) -> Timed:
    return at(START + timedelta(hours=hours), sent(sequence, number, part_id=part_id, **more))


def sent(
    sequence: int,
    number: int,
    sender: Side.ValueType = SIDE_CLIENT,
    *,
    source: str = "old",
    part_id: str = "a",
    pair: dict[str, str] = PAIR,
    latest: float | None = None,
) -> MessageSent:
    """`latest`: hours of a later message that is there already."""
    message = MessageSent(
        **pair,
        sequence=sequence,
        message_id="m",
        sender=sender,
        expects=EXPECTATION_REPLY,
        kind=MESSAGE_KIND_TEXT,
        imported=ImportedLine(source=source, line=number, part_id=part_id),
    )
    if latest is not None:
        message.imported.latest_at.CopyFrom(timestamp(START + timedelta(hours=latest)))
    return message


def live(sequence: int, *, hours: float) -> Timed:
    return at(START + timedelta(hours=hours), MessageSent(**PAIR, sequence=sequence, sender=SIDE_CLIENT))


def opened(roles_from: RolesFrom.ValueType, pair: dict[str, str] = PAIR) -> ConversationOpened:
    return ConversationOpened(**pair, roles_from=roles_from)


def marked(roles_from: RolesFrom.ValueType, pair: dict[str, str] = PAIR) -> TherapistImported:
    return TherapistImported(**pair, source="old", roles_from=roles_from)


def when(given: Given, command: ImportMessage, sender: Gate = NOBODY, recipient: Gate = NOBODY) -> When:
    return given.when(command, sender, recipient)


GUESSED = opened(ROLES_FROM_GUESS)
SAID = (opened(ROLES_FROM_LIST), marked(ROLES_FROM_LIST))


@pytest.mark.rule("PL6", "PL8")
def test_without_any_word_who_wrote_second_is_guessed_to_be_the_therapist_and_enrolled_by_nothing() -> None:
    when(IMPORTING.given(), line(7)).then(GUESSED, sent(1, 7))
    answered = when(IMPORTING.given(GUESSED, imported(1, 7)), line(8, "t", hours=1))
    answered.then(sent(2, 8, SIDE_THERAPIST))
    state = IMPORTING.given(GUESSED, imported(1, 7)).state
    assert state.is_guessed


@pytest.mark.rule("PL8.b", "PL6")
@pytest.mark.parametrize(("sender", "pair"), [(SIDE_CLIENT, PAIR), (SIDE_THERAPIST, TURNED)])
def test_the_role_of_a_line_says_who_the_therapist_is_and_marks_them(
    sender: Side.ValueType, pair: dict[str, str]
) -> None:
    said = (opened(ROLES_FROM_LINE, pair), marked(ROLES_FROM_LINE, pair))
    when(IMPORTING.given(), line(7, sender=sender)).then(*said, sent(1, 7, sender, pair=pair))


@pytest.mark.rule("PL6", "PL8")
def test_a_therapist_of_the_list_is_one_whoever_wrote_first() -> None:
    said = (opened(ROLES_FROM_LIST, TURNED), marked(ROLES_FROM_LIST, TURNED))
    first = line(7, therapist_ids=frozenset("cx"))
    when(IMPORTING.given(), first).then(*said, sent(1, 7, SIDE_THERAPIST, pair=TURNED))


@pytest.mark.rule("PL6")
@pytest.mark.parametrize("listed", ["", "ct", "x"])
def test_a_list_with_both_or_neither_of_the_two_says_nothing(listed: str) -> None:
    when(IMPORTING.given(), line(7, therapist_ids=frozenset(listed))).then(GUESSED, sent(1, 7))


@pytest.mark.rule("PL6")
def test_an_enrolment_of_one_of_the_two_says_it_and_of_both_says_nothing() -> None:
    enrolled = opened(ROLES_FROM_ENROLMENT, TURNED)
    when(IMPORTING.given(), line(7), ENROLLED, NOBODY).then(enrolled, sent(1, 7, SIDE_THERAPIST, pair=TURNED))
    when(IMPORTING.given(), line(7), NOBODY, ENROLLED).then(opened(ROLES_FROM_ENROLMENT), sent(1, 7))
    when(IMPORTING.given(), line(7), ENROLLED, ENROLLED).then(GUESSED, sent(1, 7))
    when(IMPORTING.given(), line(7), WITHDRAWN, NOBODY).then(GUESSED, sent(1, 7))


@pytest.mark.rule("PL6")
def test_what_a_line_says_goes_before_an_enrolment_since_a_therapist_may_be_a_client_too() -> None:
    said = (opened(ROLES_FROM_LINE), marked(ROLES_FROM_LINE))
    when(IMPORTING.given(), line(7, sender=SIDE_CLIENT), ENROLLED, NOBODY).then(*said, sent(1, 7))


@pytest.mark.rule("PL6")
def test_a_line_and_a_list_that_do_not_agree_are_refused() -> None:
    conflict = line(7, sender=SIDE_CLIENT, therapist_ids=frozenset("c"))
    when(IMPORTING.given(), conflict).refused("ROLES_CONFLICT", "sender")
    when(IMPORTING.given(*SAID), conflict).refused("ROLES_CONFLICT", "sender")


@pytest.mark.rule("PL6")
@pytest.mark.parametrize("begun", [[GUESSED], [*SAID], [opened(ROLES_FROM_ENROLMENT)]])
def test_a_line_that_says_the_other_way_round_than_its_conversation_is_refused(begun: list[Any]) -> None:
    given = IMPORTING.given(*begun, imported(1, 7))
    when(given, line(8, sender=SIDE_THERAPIST)).refused("ROLES_SWAPPED", "sender")
    when(given, line(8, therapist_ids=frozenset("c"))).refused("ROLES_SWAPPED", "sender")


@pytest.mark.rule("PL6", "PL8")
def test_a_guess_that_a_later_line_bears_out_is_one_no_more() -> None:
    given = IMPORTING.given(GUESSED, imported(1, 7))
    when(given, line(8, sender=SIDE_CLIENT)).then(marked(ROLES_FROM_LINE), sent(2, 8))
    borne_out = IMPORTING.given(GUESSED, imported(1, 7), marked(ROLES_FROM_LINE), imported(2, 8))
    when(borne_out, line(9, sender=SIDE_CLIENT)).then(sent(3, 9))


@pytest.mark.rule("PL6")
def test_a_line_that_is_there_is_a_repeat_without_effect() -> None:
    given = IMPORTING.given(GUESSED, imported(1, 7), imported(2, 9, hours=2))
    when(given, line(7)).then()
    when(given, line(9, hours=2)).then()
    when(given, line(7, sender=SIDE_CLIENT)).then()  # whatever is said of the roles this time


@pytest.mark.rule("PL6", "PL10")
def test_a_corrected_line_is_taken_although_later_ones_are_there() -> None:
    given = IMPORTING.given(GUESSED, imported(1, 7), imported(2, 9, hours=2))
    when(given, line(8, hours=1)).then(sent(3, 8, latest=2))
    when(IMPORTING.given(GUESSED, imported(1, 7)), line(1, hours=-1)).then(sent(2, 1, latest=0))


@pytest.mark.rule("PL6")
@pytest.mark.parametrize("changed", [{"hours": 1}, {"who": "t"}])
def test_a_line_that_was_taken_and_says_something_else_now_is_refused(changed: dict[str, Any]) -> None:
    given = IMPORTING.given(GUESSED, imported(1, 7), imported(2, 9, hours=2))
    when(given, line(7, **changed)).refused("LINE_CHANGED", "line")


@pytest.mark.rule("PL6")
@pytest.mark.parametrize(("number", "hours"), [(8, -1), (8, 3), (10, 1.5), (6, 1)])
def test_a_line_that_is_older_than_one_before_it_or_later_than_one_behind_it_is_refused(
    number: int, hours: float
) -> None:
    given = IMPORTING.given(GUESSED, imported(1, 7), imported(2, 9, hours=2))
    when(given, line(number, hours=hours)).refused("LINE_OUT_OF_ORDER", "sent_at")


@pytest.mark.rule("PL6")
def test_another_part_of_the_source_or_another_source_has_lines_and_an_order_of_its_own() -> None:
    given = IMPORTING.given(GUESSED, imported(1, 7))
    when(given, line(7, part_id="b", hours=5)).then(sent(2, 7, part_id="b"))
    when(given, line(3, part_id="b", hours=-5)).then(sent(2, 3, part_id="b", latest=0))
    when(given, line(7, source="new", hours=1)).then(sent(2, 7, source="new"))


@pytest.mark.rule("PL6")
def test_a_file_by_another_name_doubles_nothing() -> None:
    given = IMPORTING.given(GUESSED, imported(1, 7), imported(2, 9, hours=2))
    when(given, line(7, part_id="copy")).refused("LINE_DOUBLED", "line")
    when(given, line(9, part_id="copy", hours=2)).refused("LINE_DOUBLED", "line")
    when(given, line(9, "t", part_id="copy", hours=2)).then(sent(3, 9, SIDE_THERAPIST, part_id="copy"))


@pytest.mark.rule("PL6", "PL10")
def test_history_is_brought_to_a_pair_that_is_live_and_its_messages_keep_their_numbers() -> None:
    given = IMPORTING.given(ConversationOpened(**PAIR), live(1, hours=10), live(2, hours=11))
    when(given, line(7, hours=1)).then(sent(3, 7, latest=11))
    when(given, line(7, hours=10)).then(sent(3, 7, latest=11))
    when(given, line(7, hours=10.5)).refused("LINE_AFTER_LIVE", "sent_at")


@pytest.mark.rule("PL6", "PL10")
def test_the_roles_of_a_pair_that_is_live_stand() -> None:
    given = IMPORTING.given(ConversationOpened(**PAIR), live(1, hours=10))
    when(given, line(7, "t", hours=1)).then(sent(2, 7, SIDE_THERAPIST, latest=10))
    when(given, line(7, "t", hours=1, therapist_ids=frozenset("c"))).refused("ROLES_SWAPPED", "sender")


@pytest.mark.rule("PL6")
def test_a_line_from_the_future_or_from_a_person_to_themselves_is_refused() -> None:
    when(IMPORTING.given(), line(7, now=TODAY + timedelta(seconds=1))).refused("LINE_IN_FUTURE", "sent_at")
    when(IMPORTING.given(), line(7, now=TODAY)).then(GUESSED, sent(1, 7))
    when(IMPORTING.given(), line(7, recipient_id="c")).refused("PAIR_OF_ONE", "recipient_id")


@for_all(st.permutations(range(1, 9)), st.sets(st.integers(1, 8)))
def test_lines_in_any_order_are_found_by_number_and_by_instant(numbers: list[int], shared: set[int]) -> None:
    lines, begun = Lines(), []
    for number in numbers:
        lines = lines.add(Line(number, _instant(number), "c"))
        if number in shared:
            begun.append((lines, lines.add(Line(100, _instant(100), "t"))))
    assert [lines.numbered(number) for number in range(10)] == [
        Line(number, _instant(number), "c") if 1 <= number <= 8 else None for number in range(10)
    ]
    assert all(lines.has("c", _instant(number)) for number in numbers)
    assert not lines.has("t", _instant(100))
    assert lines.numbered(100) is None
    for before, after in begun:  # what one history went on with is not in another
        assert before.numbered(100) is None
        assert after.has("t", _instant(100))


def _instant(number: int) -> datetime:
    return START + timedelta(minutes=number)


def test_a_conversation_nobody_wrote_in_is_no_guess() -> None:
    assert not Conversation().is_guessed
