"""Messages as messaging would append them: real facts, which the relay, the consumers and the read models take."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import cycle

from google.protobuf.message import Message

from holdspace.messaging.v1 import events_pb2
from holdspace.messaging.v1.events_pb2 import (
    EXPECTATION_NONE,
    EXPECTATION_REPLY,
    MESSAGE_KIND_TEXT,
    SIDE_CLIENT,
    SIDE_THERAPIST,
    Body,
    ConversationOpened,
    MessageSent,
)
from kernel.facts import FactTypes, Origin
from kernel.store.interface import Append, Request
from services.messaging.domain.conversation import Pair, conversation_id

TYPES = FactTypes(events_pb2)
ORIGIN = Origin("messaging", person="bench")
THERAPISTS = 50
TICK_SECONDS = 0.01


@dataclass(slots=True)
class Conversation:
    """`next()` is the append of its next message; the client asks, the therapist answers, and so on."""

    names: Pair
    sent: int = 0

    def next(self) -> Append:
        self.sent += 1
        facts = [self._opened(), self._message()] if self.sent == 1 else [self._message()]
        expected = 0 if self.sent == 1 else self.sent
        stream = f"conversation-{self.names['conversation_id']}"
        return Append(
            stream, expected, list(map(_sealed, facts)), Request(secrets.token_bytes(32), secrets.token_bytes(32))
        )

    def _opened(self) -> ConversationOpened:
        return ConversationOpened(**self.names)

    def _message(self) -> MessageSent:
        asks = self.sent % 2 == 1
        message_id = secrets.token_hex(16)
        return MessageSent(
            **self.names,
            sequence=self.sent,
            message_id=message_id,
            sender=SIDE_CLIENT if asks else SIDE_THERAPIST,
            expects=EXPECTATION_REPLY if asks else EXPECTATION_NONE,
            kind=MESSAGE_KIND_TEXT,
            body=Body(attachment_id=message_id, size=64, sha256=secrets.token_bytes(32)),
        )


def _sealed(fact: Message) -> bytes:
    return TYPES.seal(fact, secrets.token_hex(16), datetime.now(UTC), ORIGIN)


@dataclass(slots=True)
class Traffic:
    """Conversations that are written in turn. Each must be done with one message before its next turn comes."""

    pairs: int
    _turns: "cycle[Conversation]" = field(init=False)

    def __post_init__(self) -> None:
        name = secrets.token_hex(4)
        self._turns = cycle([_conversation(f"{name}-{n}", f"{name}-t{n % THERAPISTS}") for n in range(self.pairs)])

    def next(self) -> Append:
        return next(self._turns).next()


def _conversation(client_id: str, therapist_id: str) -> Conversation:
    names = Pair(
        conversation_id=conversation_id(client_id, therapist_id), client_id=client_id, therapist_id=therapist_id
    )
    return Conversation(names)


async def paced(work: Callable[[], Awaitable[None]], per_second: int, seconds: float) -> None:
    """Begins the work so many times a second, whether earlier ones are done or not. Returns when all are done."""
    now = asyncio.get_running_loop().time
    began, begun = now(), 0
    async with asyncio.TaskGroup() as group:
        while (elapsed := now() - began) < seconds:
            while begun < elapsed * per_second:
                group.create_task(_run(work))
                begun += 1
            await asyncio.sleep(TICK_SECONDS)


async def _run(work: Callable[[], Awaitable[None]]) -> None:
    await work()
