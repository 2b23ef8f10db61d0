"""History of another system: lines that become messages of a conversation, with their original times.

They take the next sequence numbers, so those of live messages never change; what came when is told by the times.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

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
from kernel.decision import Decision
from kernel.errors import Rejected
from kernel.facts import timestamp
from kernel.gates import Gate
from services.messaging.domain.conversation import Conversation, Pair, conversation_id
from services.messaging.domain.lines import Line, Lines

SAID = (ROLES_FROM_LINE, ROLES_FROM_LIST)
"""What an operator says of the roles: by it a therapist is enrolled."""


@dataclass(frozen=True, slots=True)
class ImportMessage:
    source: str
    part_id: str
    line: int
    sender_id: str
    recipient_id: str
    sender: Side.ValueType  # as the line says, unspecified when it does not
    therapist_ids: Collection[str]  # the list that was given to the import
    message_id: str
    today: datetime  # when it is imported
    now: datetime  # when it was sent, in the system it comes from

    @property
    def conversation_id(self) -> str:
        return conversation_id(self.sender_id, self.recipient_id)


@dataclass(frozen=True, slots=True)
class Roles:
    therapist_id: str
    told_by: RolesFrom.ValueType


def import_message(command: ImportMessage, conversation: Conversation, *, sender: Gate, recipient: Gate) -> Decision:
    """`sender`, `recipient`: the enrolment of the two. Today's standing does not gate history, and a line that the
    conversation has already is no error.
    """
    if command.sender_id == command.recipient_id:
        raise Rejected("PAIR_OF_ONE", "recipient_id")
    if _is_known(command, conversation):
        return Decision()
    _must_fit(command, conversation)
    roles = _roles(command, conversation, sender, recipient)
    therapist_id = roles.therapist_id
    client_id = command.recipient_id if therapist_id == command.sender_id else command.sender_id
    names = Pair(conversation_id=command.conversation_id, client_id=client_id, therapist_id=therapist_id)
    sent = MessageSent(
        **names,
        sequence=conversation.last_sequence + 1,
        message_id=command.message_id,
        sender=SIDE_CLIENT if command.sender_id == client_id else SIDE_THERAPIST,
        expects=EXPECTATION_REPLY,
        kind=MESSAGE_KIND_TEXT,
        imported=ImportedLine(source=command.source, line=command.line, part_id=command.part_id),
    )
    if conversation.latest_at is not None and command.now < conversation.latest_at:
        sent.imported.latest_at.CopyFrom(timestamp(conversation.latest_at))
    is_new = not conversation.client_id
    opened = [ConversationOpened(**names, roles_from=roles.told_by)] if is_new else []
    is_news = (is_new or conversation.is_guessed) and roles.told_by in SAID
    marked = [TherapistImported(**names, source=command.source, roles_from=roles.told_by)] if is_news else []
    return Decision([*opened, *marked, sent])


def _is_known(command: ImportMessage, conversation: Conversation) -> bool:
    """Raises Rejected LINE_CHANGED when the line was imported and said something else."""
    known = conversation.imported.get((command.source, command.part_id), Lines()).numbered(command.line)
    if known is None:
        return False
    if known != Line(command.line, command.now, command.sender_id):
        raise Rejected("LINE_CHANGED", "line")
    return True


def _must_fit(command: ImportMessage, conversation: Conversation) -> None:
    """Raises Rejected when the line's time does not go with what is there."""
    if command.now > command.today:
        raise Rejected("LINE_IN_FUTURE", "sent_at")
    if conversation.first_live_at is not None and command.now > conversation.first_live_at:
        raise Rejected("LINE_AFTER_LIVE", "sent_at")
    for (source, part_id), lines in conversation.imported.items():
        if (source, part_id) == (command.source, command.part_id):
            before, behind = lines.neighbours(command.line)
            if (before and command.now < before.at) or (behind and behind.at < command.now):
                raise Rejected("LINE_OUT_OF_ORDER", "sent_at")
        elif source == command.source and lines.has(command.sender_id, command.now):
            raise Rejected("LINE_DOUBLED", "line")


def _roles(command: ImportMessage, conversation: Conversation, sender: Gate, recipient: Gate) -> Roles:
    """Raises Rejected when what says who the therapist is does not agree with itself, or with the conversation."""
    said = _said(command)
    if conversation.client_id:
        if said is not None and said.therapist_id != conversation.therapist_id:
            raise Rejected("ROLES_SWAPPED", "sender")
        return said or Roles(conversation.therapist_id, ROLES_FROM_GUESS)
    if said is not None:
        return said
    enrolled = [gate.last_known_at(command.today) == "ENROLLED" for gate in (sender, recipient)]
    if enrolled[0] != enrolled[1]:
        return Roles(command.sender_id if enrolled[0] else command.recipient_id, ROLES_FROM_ENROLMENT)
    return Roles(command.recipient_id, ROLES_FROM_GUESS)


def _said(command: ImportMessage) -> Roles | None:
    """Returns what the line and the list say. A list with both or neither of the two says nothing about them."""
    by_line = by_list = ""
    if command.sender != SIDE_UNSPECIFIED:
        by_line = command.sender_id if command.sender == SIDE_THERAPIST else command.recipient_id
    listed = [person for person in (command.sender_id, command.recipient_id) if person in command.therapist_ids]
    if len(listed) == 1:
        by_list = listed[0]
    if by_line and by_list and by_line != by_list:
        raise Rejected("ROLES_CONFLICT", "sender")
    if by_line:
        return Roles(by_line, ROLES_FROM_LINE)
    return Roles(by_list, ROLES_FROM_LIST) if by_list else None
