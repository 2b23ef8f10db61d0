"""Messaging's facts as rows: conversations. Their messages are read from the facts themselves."""

from datetime import datetime
from pathlib import Path

from holdspace.kernel.v1.gate_pb2 import GateCopied
from holdspace.messaging.v1.events_pb2 import (
    ConversationOpened,
    MessageSent,
    MessagesRestored,
    MessagesWithheld,
    RolesTurned,
    TherapistImported,
)
from holdspace.messaging.v1.private_pb2 import GapSearched, MeasuresLifted
from kernel.facts import instant
from kernel.gate_copies import GATE_STATEMENTS, GATE_TABLES, GATE_WRITES
from kernel.projected import AddOfStream, Each, LastOfStream
from kernel.read_model import ReadModel
from kernel.replay import StoredFact
from kernel.sql import queries

HERE = Path(__file__).parent

CONVERSATION = (
    "conversation_id",
    "client_id",
    "therapist_id",
    "position",
    "opened_at",
    "message_count",
    "last_message_at",
)


def opened_row(fact: StoredFact, opened: ConversationOpened) -> tuple[object, ...]:
    at = fact.occurred_at
    return (opened.conversation_id, opened.client_id, opened.therapist_id, fact.position, at, 0, at)


def latest_at(fact: StoredFact, sent: MessageSent) -> datetime:
    """Returns when the conversation's latest message was sent: history can come after what is later."""
    return instant(sent.imported.latest_at) if sent.imported.HasField("latest_at") else fact.occurred_at


READ_MODEL = ReadModel(
    tables=[HERE / "read_model.sql", GATE_TABLES],
    indexes=HERE / "read_model_indexes.sql",
    statements={**queries(HERE / "projections.sql"), **GATE_STATEMENTS},
    writes={
        GateCopied: GATE_WRITES,
        ConversationOpened: [AddOfStream("conversations", CONVERSATION, opened_row, "count_messages")],
        MessageSent: [
            LastOfStream(
                "count_messages",
                lambda fact, sent: (sent.conversation_id, sent.sequence, latest_at(fact, sent)),
            )
        ],
        RolesTurned: [Each("turn_roles", lambda _, t: (t.conversation_id, t.client_id, t.therapist_id))],
        MessagesWithheld: [Each("withhold", lambda _, m: (m.conversation_id, list(m.sequences), m.measure.person_id))],
        MessagesRestored: [Each("restore", lambda _, m: (m.conversation_id, list(m.sequences), m.lift.person_id))],
    },
    ignores=[TherapistImported, GapSearched, MeasuresLifted],
    revision=7,
)
