"""Roles put right: who is the therapist of an imported conversation."""

from dataclasses import dataclass
from datetime import datetime

from holdspace.messaging.v1.events_pb2 import RolesTurned
from kernel.decision import Decision
from kernel.errors import Rejected
from kernel.texts import Written
from services.messaging.domain.conversation import Conversation


@dataclass(frozen=True, slots=True)
class TurnRoles:
    """`therapist_id`: who is to be the therapist."""

    conversation_id: str
    therapist_id: str
    reason: Written
    now: datetime


def turn_roles(command: TurnRoles, conversation: Conversation) -> Decision:
    if not conversation.client_id:
        raise Rejected("NOT_FOUND", "conversation_id")
    if command.therapist_id == conversation.therapist_id:
        return Decision()
    if command.therapist_id != conversation.client_id:
        raise Rejected("NOT_FOUND", "therapist_id")
    if not conversation.is_imported:
        raise Rejected("NOT_IMPORTED", "conversation_id")
    turned = RolesTurned(
        conversation_id=conversation.conversation_id,
        client_id=conversation.therapist_id,
        therapist_id=conversation.client_id,
        turn=conversation.turns + 1,
        reason=command.reason.reference,
        client_wrote=conversation.therapist_wrote,
    )
    return Decision([turned], attachments=[command.reason.attachment])
