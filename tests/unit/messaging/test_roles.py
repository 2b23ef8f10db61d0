"""The roles of an imported conversation, put right by an operator."""

from dataclasses import replace

import pytest

from holdspace.messaging.v1.events_pb2 import (
    ROLES_FROM_GUESS,
    SIDE_CLIENT,
    SIDE_THERAPIST,
    ConversationOpened,
    ImportedLine,
    MessageSent,
    RolesTurned,
    Side,
)
from kernel.gates import Gate
from kernel.texts import Written
from services.messaging.app import CONVERSATION
from services.messaging.domain import conversation
from services.messaging.domain.roles import TurnRoles, turn_roles
from tests.gates import gate
from tests.sentences import START, Sentences
from tests.unit.messaging.test_conversation import FROM_CLIENT

TURNING = Sentences(CONVERSATION, turn_roles)
SENDING = Sentences(CONVERSATION, conversation.send)
ID = conversation.conversation_id("c", "t")
PAIR = {"conversation_id": ID, "client_id": "c", "therapist_id": "t"}
OPENED = ConversationOpened(**PAIR, roles_from=ROLES_FROM_GUESS)
TURN = TurnRoles(ID, "c", Written("r1", "c is the therapist"), START)


def wrote(sequence: int, sender: Side.ValueType) -> MessageSent:
    return MessageSent(**PAIR, sequence=sequence, sender=sender, imported=ImportedLine(source="old", line=sequence))


def turned(to: str, turn: int = 1, *, client_wrote: bool = False) -> RolesTurned:
    client = "t" if to == "c" else "c"
    reason = TURN.reason.reference
    return RolesTurned(
        conversation_id=ID, client_id=client, therapist_id=to, turn=turn, reason=reason, client_wrote=client_wrote
    )


@pytest.mark.rule("PL10")
def test_the_roles_of_an_imported_conversation_are_turned_once_with_their_reason_kept_apart() -> None:
    given = TURNING.given(OPENED, wrote(1, SIDE_CLIENT))
    [attachment] = given.when(TURN).then(turned("c")).attachments
    assert (attachment.id, attachment.content) == ("r1", b"c is the therapist")
    done = TURNING.given(OPENED, wrote(1, SIDE_CLIENT), turned("c"))
    done.when(TURN).then()
    done.when(replace(TURN, therapist_id="t")).then(turned("t", 2, client_wrote=True))


@pytest.mark.rule("PL10")
def test_a_turn_says_whether_the_client_of_now_has_written() -> None:
    both = TURNING.given(OPENED, wrote(1, SIDE_CLIENT), wrote(2, SIDE_THERAPIST))
    both.when(TURN).then(turned("c", client_wrote=True))


@pytest.mark.rule("PL10")
def test_after_a_turn_the_client_writes_to_the_therapist_of_now_and_a_guess_is_none_any_more() -> None:
    given = SENDING.given(OPENED, wrote(1, SIDE_CLIENT), turned("c"))
    message = replace(FROM_CLIENT, sender_id="t", client_id="t", therapist_id="c")
    [sent] = given.when(message, Gate(), Gate(), gate("ENROLLED")).decision().facts
    assert (sent.client_id, sent.therapist_id, sent.sender) == ("t", "c", SIDE_CLIENT)  # type: ignore[attr-defined]
    given.when(FROM_CLIENT, Gate(), Gate(), gate("ENROLLED")).refused("ROLES_SWAPPED", "client_id")
    assert not given.state.is_guessed


@pytest.mark.rule("PL10")
def test_what_began_here_is_not_turned_nor_is_anybody_else_made_its_therapist() -> None:
    TURNING.given(ConversationOpened(**PAIR)).when(TURN).refused("NOT_IMPORTED", "conversation_id")
    TURNING.given().when(TURN).refused("NOT_FOUND", "conversation_id")
    TURNING.given(OPENED).when(replace(TURN, therapist_id="x")).refused("NOT_FOUND", "therapist_id")
