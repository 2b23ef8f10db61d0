"""Every command of response-SLA and the stream it runs on."""

from kernel.folded import Fold
from kernel.gates import COPY_GATE
from kernel.routes import Read, Route
from services.response_sla.domain import client_inputs, conversation, conversation_waits, response_policy
from services.response_sla.domain.client_inputs import NoteAboutPerson, NoteRestated, Person, person_stream
from services.response_sla.domain.conversation import Conversation, conversation_stream
from services.response_sla.domain.conversation_waits import (
    DeclareNoReplyOwed,
    EvaluateConversation,
    NoteMessages,
)
from services.response_sla.domain.policy import Policies
from services.response_sla.domain.response_policy import SetResponsePolicy
from services.response_sla.domain.turning import TurnParties, turn

CONVERSATION = Fold(Conversation(), conversation.evolve)
PERSON = Fold(Person(), client_inputs.evolve)
POLICIES = Fold(Policies(), response_policy.evolve)


def on_conversation(command: NoteMessages | EvaluateConversation | DeclareNoReplyOwed | TurnParties) -> str:
    return conversation_stream(command.parties.conversation_id)


def on_person(command: NoteAboutPerson | NoteRestated) -> str:
    return person_stream(command.person_id)


# Every decision about a wait reads what moderation said of the two people, and the policies: each holds at its commit.
READS = {
    "client": Read(lambda command: person_stream(command.parties.client_id), PERSON),
    "therapist": Read(lambda command: person_stream(command.parties.therapist_id), PERSON),
    "policies": Read(lambda command: response_policy.STREAM, POLICIES),
}

ROUTES = [
    Route(NoteMessages, on_conversation, CONVERSATION, conversation_waits.decide, reads=READS),
    Route(DeclareNoReplyOwed, on_conversation, CONVERSATION, conversation_waits.decide, reads=READS),
    Route(EvaluateConversation, on_conversation, CONVERSATION, conversation_waits.decide, reads=READS, urgent=True),
    Route(TurnParties, on_conversation, CONVERSATION, turn, reads=READS, urgent=True),
    Route(NoteAboutPerson, on_person, PERSON, client_inputs.decide, urgent=True),
    Route(NoteRestated, on_person, PERSON, client_inputs.decide_restated, urgent=True),
    Route(SetResponsePolicy, lambda command: response_policy.STREAM, POLICIES, response_policy.decide),
    COPY_GATE,
]
