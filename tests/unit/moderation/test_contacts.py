"""Who wrote to whom, as moderation hears of it."""

import pytest
from google.protobuf.message import Message

from holdspace.kernel.v1.envelope_pb2 import Envelope
from holdspace.messaging.v1.events_pb2 import ConversationOpened, RolesTurned
from kernel.consumers.records import ForeignFact
from services.moderation.domain.reporting import NoteContact
from services.moderation.reactions import FIRST_CONTACTS
from tests.sentences import START

CONTACT = NoteContact("t", "c", START)


@pytest.mark.rule("PL10", "MO10")
@pytest.mark.parametrize(
    ("payload", "noted"),
    [
        (ConversationOpened(client_id="t", therapist_id="c"), [CONTACT]),
        (RolesTurned(client_id="t", therapist_id="c", client_wrote=True), [CONTACT]),
        (RolesTurned(client_id="t", therapist_id="c"), []),
    ],
)
def test_a_contact_is_one_of_the_client_of_now_who_has_written(payload: Message, noted: list[NoteContact]) -> None:
    [reaction] = [each for each in FIRST_CONTACTS if each.fact is type(payload)]
    fact = ForeignFact(Envelope(), payload, "", 0, 0, "", 1, "conversation-k", 1, START)
    assert reaction.imported
    assert reaction.react(fact, START) == noted
