from dataclasses import replace
from datetime import timedelta
from hashlib import sha256

import pytest

from holdspace.messaging.v1.events_pb2 import (
    EXPECTATION_NONE,
    EXPECTATION_REPLY,
    MESSAGE_KIND_TEXT,
    ROLES_FROM_GUESS,
    SIDE_CLIENT,
    SIDE_THERAPIST,
    Body,
    ConversationOpened,
    MessageSent,
)
from kernel.gates import Gate
from services.messaging.app import CONVERSATION
from services.messaging.domain import conversation as domain
from services.messaging.domain.conversation import SendMessage
from tests.gates import gate
from tests.sentences import START, Sentences

SENDING = Sentences(CONVERSATION, domain.send)
PAIR = {"conversation_id": domain.conversation_id("c", "t"), "client_id": "c", "therapist_id": "t"}
OPENED = ConversationOpened(**PAIR)
GOOD = Gate()
ENROLLED = gate("ENROLLED")
SUSPENDED = gate("SUSPENDED", START + timedelta(days=1), ("BRAKED", START + timedelta(days=8)), ("GOOD", None))

FROM_CLIENT = SendMessage("c", "c", "t", "m1", b"sealed", EXPECTATION_REPLY, MESSAGE_KIND_TEXT, False, START)
FROM_THERAPIST = replace(FROM_CLIENT, sender_id="t")


def sent(sequence: int = 1, sender: int = SIDE_CLIENT, **more: object) -> MessageSent:
    body = Body(attachment_id="m1", size=6, sha256=sha256(b"sealed").digest())
    fields = {"expects": EXPECTATION_REPLY, "kind": MESSAGE_KIND_TEXT, "body": body, "message_id": "m1", **more}
    return MessageSent(**PAIR, sequence=sequence, sender=sender, **fields)


@pytest.mark.rule("MS1")
def test_the_first_message_of_a_client_opens_the_conversation_and_keeps_its_body_apart() -> None:
    decision = SENDING.given().when(FROM_CLIENT, GOOD, GOOD, ENROLLED).then(OPENED, sent())
    [attachment] = decision.attachments
    assert (attachment.id, attachment.content) == ("m1", b"sealed")


@pytest.mark.rule("MS1", "PL8")
def test_nobody_can_be_addressed_as_a_therapist_before_they_are_enrolled() -> None:
    SENDING.given().when(FROM_CLIENT, GOOD, GOOD, GOOD).refused("THERAPIST_UNKNOWN", "therapist_id")


@pytest.mark.rule("MS1")
def test_a_therapist_answers_but_does_not_write_first() -> None:
    SENDING.given().when(FROM_THERAPIST, GOOD, GOOD, ENROLLED).refused("CONVERSATION_NOT_OPEN", "client_id")
    SENDING.given(OPENED, sent()).when(FROM_THERAPIST, GOOD, GOOD, ENROLLED).then(sent(2, SIDE_THERAPIST))


@pytest.mark.rule("MS1")
def test_a_pair_has_one_conversation_whoever_names_it_first() -> None:
    assert domain.conversation_id("c", "t") == domain.conversation_id("t", "c")
    swapped = replace(FROM_CLIENT, client_id="t", therapist_id="c", sender_id="t")
    SENDING.given(OPENED, sent()).when(swapped, GOOD, GOOD, ENROLLED).refused("ROLES_SWAPPED", "client_id")


def test_a_stranger_to_the_pair_cannot_write_in_it_and_nobody_writes_to_themselves() -> None:
    SENDING.given().when(replace(FROM_CLIENT, sender_id="x"), GOOD, GOOD, ENROLLED).refused(
        "SENDER_NOT_IN_PAIR", "sender_id"
    )
    SENDING.given().when(replace(FROM_CLIENT, therapist_id="c"), GOOD, GOOD, ENROLLED).refused(
        "PAIR_OF_ONE", "therapist_id"
    )


@pytest.mark.rule("MS5.a")
def test_messages_are_counted_from_one_without_gaps_across_both_sides() -> None:
    given = SENDING.given(OPENED, sent(1), sent(2, SIDE_THERAPIST), sent(3))
    given.when(FROM_THERAPIST, GOOD, GOOD, GOOD).then(sent(4, SIDE_THERAPIST))


@pytest.mark.rule("MO5")
def test_a_suspended_client_neither_opens_nor_writes_nor_is_written_to() -> None:
    SENDING.given().when(FROM_CLIENT, SUSPENDED, GOOD, ENROLLED).refused("SENDER_SUSPENDED", "sender_id")
    SENDING.given(OPENED, sent()).when(FROM_CLIENT, SUSPENDED, GOOD, GOOD).refused("SENDER_SUSPENDED", "sender_id")
    SENDING.given(OPENED, sent()).when(FROM_THERAPIST, SUSPENDED, GOOD, GOOD).refused(
        "CONVERSATION_LOCKED", "client_id"
    )


@pytest.mark.rule("MO5")
def test_a_therapist_who_is_suspended_is_locked_out_the_same_way() -> None:
    SENDING.given(OPENED, sent()).when(FROM_THERAPIST, GOOD, SUSPENDED, GOOD).refused("SENDER_SUSPENDED", "sender_id")
    SENDING.given(OPENED, sent()).when(FROM_CLIENT, GOOD, SUSPENDED, GOOD).refused(
        "CONVERSATION_LOCKED", "therapist_id"
    )


@pytest.mark.rule("MO4")
def test_a_suspension_ends_by_the_time_it_carries_without_another_fact() -> None:
    braked, free = (replace(FROM_CLIENT, now=START + timedelta(days=days)) for days in (1, 8))
    SENDING.given().when(braked, SUSPENDED, GOOD, ENROLLED).refused("CLIENT_BRAKED", "client_id")
    SENDING.given(OPENED, sent()).when(braked, SUSPENDED, GOOD, GOOD).then(sent(2))
    SENDING.given().when(free, SUSPENDED, GOOD, ENROLLED).then(OPENED, sent())


@pytest.mark.rule("MO1", "MO4")
def test_a_brake_holds_in_either_role_for_new_conversations_and_for_no_other() -> None:
    braked = gate("BRAKED")
    SENDING.given().when(FROM_CLIENT, braked, GOOD, ENROLLED).refused("CLIENT_BRAKED", "client_id")
    SENDING.given().when(FROM_CLIENT, GOOD, braked, ENROLLED).refused("THERAPIST_BRAKED", "therapist_id")
    for message, side in ((FROM_CLIENT, SIDE_CLIENT), (FROM_THERAPIST, SIDE_THERAPIST)):
        SENDING.given(OPENED, sent()).when(message, braked, braked, ENROLLED).then(sent(2, side))


def test_no_conversation_is_opened_on_copies_that_are_too_old_but_those_there_are_carry_on() -> None:
    stale = ENROLLED.seen(is_fresh=False, is_parked=False)
    SENDING.given().when(FROM_CLIENT, GOOD, GOOD, stale).refused("GATE_STALE")
    SENDING.given(OPENED, sent()).when(FROM_CLIENT, GOOD, GOOD, stale).then(sent(2))


@pytest.mark.rule("MS1", "MO5")
@pytest.mark.parametrize("sender", ["c", "t"])
def test_while_a_fact_about_either_is_parked_nobody_writes(sender: str) -> None:
    message, parked = replace(FROM_CLIENT, sender_id=sender), GOOD.seen(is_fresh=True, is_parked=True)
    for both in ((parked, GOOD), (GOOD, parked)):
        SENDING.given(OPENED, sent()).when(message, *both, ENROLLED).refused("GATE_PARKED")
    SENDING.given().when(FROM_CLIENT, GOOD, GOOD, ENROLLED.seen(is_fresh=True, is_parked=True)).refused("GATE_PARKED")


@pytest.mark.rule("PL6", "PL8")
def test_who_was_only_guessed_to_be_a_therapist_is_written_to_once_they_are_enrolled() -> None:
    guessed = ConversationOpened(**PAIR, roles_from=ROLES_FROM_GUESS)
    given = SENDING.given(guessed, sent())
    for command in (FROM_CLIENT, FROM_THERAPIST):
        given.when(command, GOOD, GOOD, GOOD).refused("THERAPIST_UNKNOWN", "therapist_id")
    given.when(FROM_CLIENT, GOOD, GOOD, ENROLLED).then(sent(2))


@pytest.mark.rule("PL10", "PL8")
def test_nobody_writes_to_or_as_a_therapist_whose_enrolment_was_withdrawn() -> None:
    withdrawn = gate("WITHDRAWN")
    for command in (FROM_CLIENT, FROM_THERAPIST):
        SENDING.given(OPENED, sent()).when(command, GOOD, GOOD, withdrawn).refused("THERAPIST_UNKNOWN", "therapist_id")


@pytest.mark.rule("MS10.a")
def test_what_the_sender_expects_is_carried_as_it_was_declared() -> None:
    note = replace(FROM_THERAPIST, expects=EXPECTATION_NONE, automatic=True)
    SENDING.given(OPENED, sent()).when(note, GOOD, GOOD, GOOD).then(
        sent(2, SIDE_THERAPIST, expects=EXPECTATION_NONE, automatic=True)
    )
