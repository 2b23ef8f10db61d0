"""Messages read from a conversation's facts: paged, and withheld from one side."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from google.protobuf.message import Message

from holdspace.messaging.v1.events_pb2 import (
    SIDE_CLIENT,
    SIDE_THERAPIST,
    ConversationOpened,
    ImportedLine,
    MessageSent,
    MessagesRestored,
    MessagesWithheld,
    StandingDecision,
)
from infra.database import prepare
from kernel.facts import Origin
from kernel.queries import Queries
from kernel.read_model import project
from kernel.rebuild import ensure, reader
from kernel.store.interface import Append, Request
from kernel.store.postgres import PostgresStore
from services.messaging.messages import Messages
from services.messaging.projections import READ_MODEL
from services.messaging.wiring import MESSAGING
from tests.integration.test_own_reactions import Counted

TYPES = MESSAGING.own_facts
BEGAN = datetime(2026, 3, 2, 9, tzinfo=UTC)
PAIR = {"conversation_id": "c1", "client_id": "client-1", "therapist_id": "therapist-1"}
OF_CLIENT = StandingDecision(person_id="client-1")
MESSAGES = 250
IMPORTED_LATE = 200  # between newer ones, with the time it was sent at long before


def history() -> list[Message]:
    """Two messages were imported, every third is the therapist's; four are withheld, one is given back."""
    facts: list[Message] = [ConversationOpened(**PAIR)]
    for sequence in range(1, MESSAGES + 1):
        side = SIDE_THERAPIST if sequence % 3 == 0 else SIDE_CLIENT
        imported = ImportedLine(source="old", line=sequence) if sequence in (1, IMPORTED_LATE) else None
        facts.append(MessageSent(**PAIR, sequence=sequence, message_id=f"m{sequence}", sender=side, imported=imported))
        if sequence == 20:
            facts.append(MessagesWithheld(**PAIR, sequences=[10, 11], measure=OF_CLIENT))
        if sequence == 40:
            facts += [
                MessagesRestored(**PAIR, sequences=[10], lift=OF_CLIENT),
                MessagesWithheld(**PAIR, sequences=[31], measure=OF_CLIENT),
                MessagesWithheld(**PAIR, sequences=[33], measure=StandingDecision(person_id="therapist-1")),
            ]
    return facts


def sent_at(place: int, fact: Message) -> datetime:
    is_late = isinstance(fact, MessageSent) and fact.sequence == IMPORTED_LATE
    return BEGAN - timedelta(days=1) if is_late else BEGAN + timedelta(seconds=place)


@pytest.fixture
async def queries(database_url: str) -> AsyncIterator[Queries]:
    await prepare(database_url)
    store = PostgresStore(database_url, "messaging", Counted())
    await store.open()
    sealed = [
        TYPES.seal(fact, f"f{place}", sent_at(place, fact), Origin("messaging")) for place, fact in enumerate(history())
    ]
    await store.append(Append("conversation-c1", 0, sealed, Request(b"r" * 32, b"d" * 32)))
    await store.close()
    await ensure(database_url, "messaging", READ_MODEL, TYPES)
    rows = await reader(database_url, "messaging", "messaging_read")
    while await project(rows, READ_MODEL, TYPES):
        pass
    await rows.close()
    opened = Queries(database_url, "messaging", MESSAGING.queries)
    await opened.open()
    yield opened
    await opened.close()


@pytest.mark.parametrize("page", [1, 7, 1_000])
@pytest.mark.parametrize(("side", "hidden"), [(SIDE_CLIENT, {33}), (SIDE_THERAPIST, {11, 31})])
async def test_each_side_pages_through_what_it_may_see(
    queries: Queries, page: int, side: int, hidden: set[int]
) -> None:
    messages = Messages(queries, TYPES)
    [conversation] = await queries.rows("conversation", "c1", "client-1")
    seen: list[int] = []
    while found := await messages.page(conversation, side, seen[-1] if seen else 0, page):
        assert len(found) <= page
        seen += [message.sent.sequence for message in found]
    assert seen == [sequence for sequence in range(1, MESSAGES + 1) if sequence not in hidden]


async def test_what_the_read_model_has_not_reached_is_not_shown(queries: Queries) -> None:
    [row] = await queries.rows("conversation", "c1", "client-1")
    behind = {**row, "message_count": 5}
    found = await Messages(queries, TYPES).page(behind, SIDE_CLIENT, 0, 100)
    assert [message.sent.sequence for message in found] == [1, 2, 3, 4, 5]
