"""Histories of realistic facts, really sealed and the same for the same numbers, put into a store by COPY."""

import hashlib
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from google.protobuf.message import Message

from holdspace.messaging.v1.events_pb2 import (
    EXPECTATION_REPLY,
    MESSAGE_KIND_TEXT,
    SIDE_CLIENT,
    SIDE_THERAPIST,
    Body,
    ConversationOpened,
    MessageSent,
)
from kernel.facts import Origin
from kernel.store.connections import connect
from services.messaging.wiring import MESSAGING

BEGAN = datetime(2025, 1, 1, tzinfo=UTC)
CONVERSATIONS_AT_ONCE = 2_000  # the others have ended or not begun
MESSAGES_MEAN = 20
THERAPISTS = 500
BETWEEN_FACTS = timedelta(seconds=30)
COLUMNS = ("position", "stream", "version", "recorded_at", "fact")

Row = tuple[int, str, int, datetime, bytes]


def messages(facts: int, first: int = 1) -> Iterator[Row]:
    """Yields rows of messaging's store: people who write to therapists and are answered, many conversations at once.

    `first`: the position it begins at; another one makes other conversations.
    """
    chance = random.Random(first)
    open_ones: list[Conversation] = []
    for position in range(first, first + facts):
        if len(open_ones) < CONVERSATIONS_AT_ONCE:
            open_ones.append(Conversation(position, chance))
            place = len(open_ones) - 1
        else:
            place = chance.randrange(CONVERSATIONS_AT_ONCE)
        conversation = open_ones[place]
        at = BEGAN + position * BETWEEN_FACTS
        yield conversation.next_row(position, at, chance)
        if conversation.is_over:
            open_ones[place] = Conversation(position + 1, chance)


class Conversation:
    """One pair of people, with a number of messages of its own."""

    def __init__(self, number: int, chance: random.Random) -> None:
        self._id = digest(f"conversation {number}").hex()[:32]
        self._client = f"client-{digest(f'client {number}').hex()[:24]}"
        self._therapist = f"therapist-{chance.randrange(THERAPISTS):06}"
        self._left = 2 + int(chance.expovariate(1 / (MESSAGES_MEAN - 2)))
        self._version = 0

    @property
    def is_over(self) -> bool:
        return self._left == 0

    def next_row(self, position: int, at: datetime, chance: random.Random) -> Row:
        by_client = self._version < 2 or chance.random() < 0.5
        fact = self._sent(position, by_client) if self._version else self._opened()
        self._version += 1
        self._left -= 1
        caller = self._client if by_client else self._therapist
        origin = Origin("web", caller, cause=f"request-{position:020}", correlation=f"request-{position:020}")
        sealed = MESSAGING.own_facts.seal(fact, digest(f"fact {position}").hex()[:32], at, origin)
        return position, f"conversation-{self._id}", self._version, at, sealed

    def _opened(self) -> Message:
        return ConversationOpened(conversation_id=self._id, client_id=self._client, therapist_id=self._therapist)

    def _sent(self, position: int, by_client: bool) -> Message:
        name = digest(f"message {position}").hex()[:32]
        return MessageSent(
            conversation_id=self._id,
            client_id=self._client,
            therapist_id=self._therapist,
            sequence=self._version,
            message_id=name,
            sender=SIDE_CLIENT if by_client else SIDE_THERAPIST,
            expects=EXPECTATION_REPLY,
            kind=MESSAGE_KIND_TEXT,
            body=Body(attachment_id=name, size=100 + position % 900, sha256=digest(name)),
        )


def digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


async def fill(database_url: str, service: str, rows: Iterator[Row]) -> None:
    """Puts rows into the service's store, at positions above its head."""
    connection = await connect(
        database_url, role=f"{service}_owner", search_path=service, statement_timeout="0", transaction_timeout="0"
    )
    try:
        await connection.copy_records_to_table("facts", records=rows, columns=COLUMNS, timeout=1_200)
        await connection.execute("vacuum analyze facts", timeout=600)
    finally:
        await connection.close()
