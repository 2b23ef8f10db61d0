"""Messaging without its servers: its commands, reactions and read model on a real store, one process after another."""

import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
from google.protobuf.message import Message

from holdspace.kernel.v1.gate_pb2 import Phase
from holdspace.messaging.v1.events_pb2 import (
    EXPECTATION_REPLY,
    MESSAGE_KIND_TEXT,
    SIDE_CLIENT,
    SIDE_THERAPIST,
    ConversationOpened,
    MessageSent,
    MessagesWithheld,
)
from holdspace.moderation.v1.events_pb2 import ClientReinstated, ClientSuspended, SuspensionLapsed
from infra.database import prepare
from kernel.clock import ManualClock
from kernel.commands import CommandPath
from kernel.errors import StoreUnavailable
from kernel.facts import FactTypes, Origin
from kernel.freshness import NoLane
from kernel.gates import CopyGate
from kernel.ids import RandomIds
from kernel.queries import Queries
from kernel.reactions import Effects, OwnReactions
from kernel.read_model import project
from kernel.rebuild import ensure, reader
from kernel.requests import reaction_request
from kernel.routes import Command
from kernel.store.connections import connect
from kernel.store.interface import EventStore
from kernel.store.postgres import PostgresStore
from services.messaging.app import ROUTES
from services.messaging.domain.conversation import SendMessage, conversation_id
from services.messaging.gap import Gaps
from services.messaging.messages import Messages
from services.messaging.projections import READ_MODEL
from services.messaging.reactions import own_reactions
from services.messaging.wiring import MESSAGING
from tests.calls import fresh
from tests.gates import copy, told_phase
from tests.integration.test_own_reactions import Counted

TYPES: FactTypes = MESSAGING.own_facts
SECOND = timedelta(seconds=1)
MODERATION = "moderation/eu"


class Faltering:
    """The store as a process sees it that may die at any call, by a seed."""

    def __init__(self, store: EventStore, seed: int) -> None:
        self._store = store
        self._chance = random.Random(seed)

    def __getattr__(self, name: str) -> Any:
        if self._chance.random() < 0.2:
            raise StoreUnavailable(f"the process died at {name}")
        return getattr(self._store, name)


@dataclass(slots=True)
class MessagingWorld:
    """Times are what the clock says, which is near the time of the database: facts are recorded by that."""

    store: PostgresStore
    queries: Queries
    rows: asyncpg.Connection
    owner: asyncpg.Connection
    clock: ManualClock
    counted: Counted

    def path(self, store: EventStore | None = None) -> CommandPath:
        return CommandPath(
            "messaging", store or self.store, TYPES, ROUTES, RandomIds(), self.counted, NoLane(), folded_streams_max=100
        )

    async def run(self, *commands: Command) -> None:
        path = self.path()
        for command in commands:
            await path.run(command, reaction_request("test", fresh()))

    async def enrol(self, *therapists: str) -> None:
        for therapist in therapists:
            await self.run(copy("enrolment", therapist, [told_phase("ENROLLED")], version=1, now=self.clock.now()))

    async def send(self, client: str, therapist: str, count: int = 1, *, by_client: bool = True) -> None:
        for _ in range(count):
            self.clock.advance(timedelta(milliseconds=1))
            sender = client if by_client else therapist
            await self.run(
                SendMessage(
                    sender, client, therapist, fresh(), b"sealed", EXPECTATION_REPLY, MESSAGE_KIND_TEXT, False,
                    self.clock.now(),
                )
            )  # fmt: skip

    def suspension(
        self, person: str, version: int, decided_at: datetime, *, epoch: int = 1, until: datetime | None = None
    ) -> CopyGate:
        phases = [told_phase("SUSPENDED", until)] + ([told_phase("BRAKED")] if until else [])
        return self._copy(person, phases, version, epoch, decided_at, ClientSuspended)

    def reinstatement(self, person: str, version: int, decided_at: datetime, *, epoch: int = 1) -> CopyGate:
        return self._copy(person, [told_phase("GOOD")], version, epoch, decided_at, ClientReinstated)

    def lapse(self, person: str, version: int, decided_at: datetime, *, epoch: int = 1) -> CopyGate:
        return self._copy(person, [told_phase("GOOD")], version, epoch, decided_at, SuspensionLapsed)

    def _copy(
        self, person: str, phases: Sequence[Phase], version: int, epoch: int, decided_at: datetime, type_: Any
    ) -> CopyGate:
        return copy(
            "standing",
            person,
            phases,
            version=version,
            epoch=epoch,
            source=MODERATION,
            source_type=type_.DESCRIPTOR.full_name,
            now=self.clock.now(),
            decided_at=decided_at,
        )

    def reactions(self, store: EventStore | None = None, gaps: Gaps | None = None) -> OwnReactions:
        """Those of a process that has just started."""
        own = own_reactions(store or self.store, self.queries, gaps or Gaps(self.queries, TYPES))
        effects = Effects("messaging", self.path(store), self.counted)
        return OwnReactions(store or self.store, TYPES, own, effects, self.clock)

    async def react(self, reactions: OwnReactions | None = None) -> None:
        """Carries out everything that follows from what is there."""
        mine = reactions or self.reactions()
        await self.project()
        while await mine.step():
            await self.project()

    async def project(self) -> None:
        while await project(self.rows, READ_MODEL, TYPES):
            pass

    async def seen(self, client: str, therapist: str, *, by_client: bool) -> list[int]:
        """Returns the sequences of the messages that a side sees."""
        await self.project()
        reader_id, side = (client, SIDE_CLIENT) if by_client else (therapist, SIDE_THERAPIST)
        rows = await self.queries.rows("conversation", conversation_id(client, therapist), reader_id)
        if not rows:
            return []
        found = await Messages(self.queries, TYPES).page(rows[0], side, 0, 100_000)
        return [message.sent.sequence for message in found]

    async def facts(self, message: type[Message]) -> list[Any]:
        recorded = await self.store.read_all(0, 1_000_000)
        opened = TYPES.open_all(each.fact for each in recorded)
        return [payload for _, payload in opened if isinstance(payload, message)]

    async def ever_withheld(self) -> list[int]:
        return sorted(n for fact in await self.facts(MessagesWithheld) for n in fact.sequences)

    async def record(self, facts: Sequence[tuple[str, int, datetime, Message]]) -> None:
        """Takes streams, versions, times and payloads into the store at once, as so many appends would."""
        head = await self.owner.fetchval("select coalesce(max(position), 0) from facts")
        rows = [
            (head + n, stream, version, at, TYPES.seal(payload, fresh(), at, Origin("messaging")))
            for n, (stream, version, at, payload) in enumerate(facts, 1)
        ]
        await self.owner.copy_records_to_table(
            "facts", records=rows, columns=("position", "stream", "version", "recorded_at", "fact")
        )


def conversation_opened(client: str, therapist: str) -> ConversationOpened:
    return ConversationOpened(
        conversation_id=conversation_id(client, therapist), client_id=client, therapist_id=therapist
    )


def message_sent(client: str, therapist: str, sequence: int, side: Any = SIDE_CLIENT) -> MessageSent:
    return MessageSent(
        conversation_id=conversation_id(client, therapist),
        client_id=client,
        therapist_id=therapist,
        sequence=sequence,
        message_id=f"m{sequence}",
        sender=side,
    )


@asynccontextmanager
async def messaging_world(database_url: str) -> AsyncIterator[MessagingWorld]:
    await prepare(database_url)
    counted = Counted()
    store = PostgresStore(database_url, "messaging", counted)
    await store.open()
    await ensure(database_url, "messaging", READ_MODEL, TYPES)
    rows = await reader(database_url, "messaging", "messaging_read")
    owner = await connect(database_url, role="messaging_owner", search_path="messaging")
    queries = Queries(database_url, "messaging", MESSAGING.queries)
    await queries.open()
    try:
        yield MessagingWorld(store, queries, rows, owner, ManualClock(datetime.now(UTC)), counted)
    finally:
        await queries.close()
        await owner.close()
        await rows.close()
        await store.close()
