"""Messaging's facts as rows: conversations and their messages."""

from pathlib import Path

from holdspace.kernel.v1.gate_pb2 import GateCopied
from holdspace.messaging.v1.events_pb2 import (
    ConversationOpened,
    MessageSent,
    MessagesRestored,
    MessagesWithheld,
    TherapistImported,
)
from kernel.own_facts import OwnFact
from kernel.read_model import ReadModel, Write
from kernel.sql import queries

HERE = Path(__file__).parent


def message_row(fact: OwnFact, sent: MessageSent) -> tuple[object, ...]:
    return (
        sent.conversation_id,
        sent.sequence,
        sent.message_id,
        sent.client_id,
        sent.sender,
        sent.expects,
        sent.kind,
        sent.automatic,
        fact.occurred_at,
        sent.body.size,
        sent.body.sha256,
        sent.HasField("imported"),
    )


def opened_row(fact: OwnFact, opened: ConversationOpened) -> tuple[object, ...]:
    return (opened.conversation_id, opened.client_id, opened.therapist_id, fact.occurred_at)


READ_MODEL = ReadModel(
    tables=HERE / "read_model.sql",
    statements=queries(HERE / "projections.sql"),
    writes={
        ConversationOpened: [Write("open_conversation", opened_row)],
        MessageSent: [
            Write("add_message", message_row),
            Write("count_message", lambda fact, sent: (sent.conversation_id, sent.sequence, fact.occurred_at)),
        ],
        MessagesWithheld: [Write("withhold", lambda _, m: (m.conversation_id, list(m.sequences), True))],
        MessagesRestored: [Write("withhold", lambda _, m: (m.conversation_id, list(m.sequences), False))],
    },
    ignores=[GateCopied, TherapistImported],
)
