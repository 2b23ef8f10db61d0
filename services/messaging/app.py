"""Every command of messaging and the stream it runs on."""

from kernel.folded import Fold
from kernel.gates import COPY_GATE, gate_of
from kernel.routes import Read, Route
from services.messaging.domain.conversation import (
    Conversation,
    ImportMessage,
    RestoreMessages,
    SendMessage,
    WithholdMessages,
    evolve,
    import_message,
    restore,
    send,
    withhold,
)

CONVERSATION = Fold(Conversation(), evolve)

STANDING_OF_CLIENT: Read = gate_of("standing", "client_id")
STANDING_OF_THERAPIST: Read = gate_of("standing", "therapist_id")
ENROLMENT_OF_THERAPIST: Read = gate_of("enrolment", "therapist_id")


def conversation_stream(conversation_id: str) -> str:
    return f"conversation-{conversation_id}"


def on_conversation(command: SendMessage | ImportMessage | WithholdMessages | RestoreMessages) -> str:
    return conversation_stream(command.conversation_id)


ROUTES = [
    Route(
        SendMessage,
        on_conversation,
        CONVERSATION,
        send,
        reads=[STANDING_OF_CLIENT, STANDING_OF_THERAPIST, ENROLMENT_OF_THERAPIST],
    ),
    Route(ImportMessage, on_conversation, CONVERSATION, import_message),
    Route(WithholdMessages, on_conversation, CONVERSATION, withhold),
    Route(RestoreMessages, on_conversation, CONVERSATION, restore),
    COPY_GATE,
]
