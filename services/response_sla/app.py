"""Every command of response-SLA and the stream it runs on."""

from kernel.folded import Fold
from kernel.routes import Read, Route
from services.response_sla.domain import client_inputs, conversation_waits
from services.response_sla.domain.client_inputs import NoteAboutPerson, Person, person_stream
from services.response_sla.domain.conversation_waits import (
    Conversation,
    EvaluateConversation,
    NoteMessages,
    conversation_stream,
)
from services.response_sla.domain.turning import TurnParties, turn

CONVERSATION = Fold(Conversation(), conversation_waits.evolve)
PERSON = Fold(Person(), client_inputs.evolve)


def on_conversation(command: NoteMessages | EvaluateConversation | TurnParties) -> str:
    return conversation_stream(command.parties.conversation_id)


# What moderation said of the two people is read by every decision about a wait, so each holds at its commit.
PEOPLE = {
    "client": Read(lambda command: person_stream(command.parties.client_id), PERSON),
    "therapist": Read(lambda command: person_stream(command.parties.therapist_id), PERSON),
}

ROUTES = [
    Route(NoteMessages, on_conversation, CONVERSATION, conversation_waits.decide, reads=PEOPLE),
    Route(EvaluateConversation, on_conversation, CONVERSATION, conversation_waits.decide, reads=PEOPLE, urgent=True),
    Route(TurnParties, on_conversation, CONVERSATION, turn, reads=PEOPLE, urgent=True),
    Route(NoteAboutPerson, lambda command: person_stream(command.person_id), PERSON, client_inputs.decide, urgent=True),
]
