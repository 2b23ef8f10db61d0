"""Every command of messaging and the stream it runs on."""

from kernel.folded import Fold
from kernel.gates import COPY_GATE, gate_of
from kernel.routes import Read, Route
from services.messaging.domain import conversation, measures
from services.messaging.domain.conversation import Conversation, SendMessage, send
from services.messaging.domain.history import ImportMessage, import_message
from services.messaging.domain.measures import LiftMeasures, Measures, SearchGap, lift_measures, search_gap
from services.messaging.domain.roles import TurnRoles, turn_roles
from services.messaging.domain.withholding import RestoreMessages, WithholdMessages, restore, withhold

CONVERSATION = Fold(Conversation(), conversation.evolve)
MEASURES = Fold(Measures(), measures.evolve)


def conversation_stream(conversation_id: str) -> str:
    return f"conversation-{conversation_id}"


def on_conversation(command: SendMessage | ImportMessage | TurnRoles | WithholdMessages | RestoreMessages) -> str:
    return conversation_stream(command.conversation_id)


def person_stream(person_id: str) -> str:
    return f"person-{person_id}"


ROUTES = [
    Route(
        SendMessage,
        on_conversation,
        CONVERSATION,
        send,
        reads={
            "client": gate_of("standing", "client_id"),
            "therapist": gate_of("standing", "therapist_id"),
            "enrolment": gate_of("enrolment", "therapist_id"),
        },
    ),
    Route(
        ImportMessage,
        on_conversation,
        CONVERSATION,
        import_message,
        reads={"sender": gate_of("enrolment", "sender_id"), "recipient": gate_of("enrolment", "recipient_id")},
    ),
    Route(TurnRoles, on_conversation, CONVERSATION, turn_roles),
    Route(SearchGap, lambda command: person_stream(command.measure.person_id), MEASURES, search_gap),
    Route(
        WithholdMessages,
        on_conversation,
        CONVERSATION,
        withhold,
        reads={"measures": Read(lambda command: person_stream(command.measure.person_id), MEASURES)},
    ),
    Route(LiftMeasures, lambda command: person_stream(command.lift.person_id), MEASURES, lift_measures),
    Route(RestoreMessages, on_conversation, CONVERSATION, restore),
    COPY_GATE,
]
