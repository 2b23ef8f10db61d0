"""Every command of response-SLA and the stream it runs on."""

from kernel.folded import Fold
from kernel.routes import Read, Route
from services.response_sla.domain import client_inputs, conversation_waits
from services.response_sla.domain.client_inputs import Client, NoteDecision, NoteReport, NoteStanding, client_stream
from services.response_sla.domain.conversation_waits import (
    Conversation,
    EvaluateConversation,
    NoteMessages,
    conversation_stream,
)

CONVERSATION = Fold(Conversation(), conversation_waits.evolve)
CLIENT = Fold(Client(), client_inputs.evolve)


def on_client(command: NoteReport | NoteDecision | NoteStanding) -> str:
    return client_stream(command.client_id)


# What moderation said of the client is read by every decision about a wait, so each holds at the instant of its commit.
ROUTES = [
    Route(
        NoteMessages,
        lambda command: conversation_stream(command.parties.conversation_id),
        CONVERSATION,
        conversation_waits.decide,
        reads={"client": Read(lambda command: client_stream(command.parties.client_id), CLIENT)},
    ),
    Route(
        EvaluateConversation,
        lambda command: conversation_stream(command.conversation_id),
        CONVERSATION,
        conversation_waits.decide,
        reads={"client": Read(lambda command: client_stream(command.client_id), CLIENT)},
        urgent=True,
    ),
    Route(NoteReport, on_client, CLIENT, client_inputs.decide, urgent=True),
    Route(NoteDecision, on_client, CLIENT, client_inputs.decide, urgent=True),
    Route(NoteStanding, on_client, CLIENT, client_inputs.decide, urgent=True),
]
