"""Response-SLA's reactions as its consumers call them, on a store in memory, fed with facts of other services."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from google.protobuf.message import Message

from holdspace.kernel.v1 import gate_pb2
from holdspace.kernel.v1.envelope_pb2 import Envelope
from holdspace.messaging.v1.events_pb2 import EXPECTATION_REPLY, SIDE_CLIENT, SIDE_THERAPIST, MessageSent
from holdspace.response_sla.v1 import private_pb2
from kernel.clock import ManualClock
from kernel.commands import CommandPath
from kernel.consumers.listing import On
from kernel.consumers.records import ForeignFact
from kernel.facts import FactTypes, timestamp
from kernel.foreign import bind
from kernel.freshness import NoLane
from kernel.ids import RandomIds
from kernel.reactions import Effects
from kernel.requests import reaction_request
from kernel.store.memory import MemoryStore
from services.response_sla.app import CONVERSATION, ROUTES
from services.response_sla.domain.client_inputs import NoteRestated
from services.response_sla.domain.conversation import conversation_stream
from services.response_sla.domain.conversation_waits import EvaluateConversation
from services.response_sla.domain.inputs import Source
from services.response_sla.domain.wait import Wait
from services.response_sla.reactions import facts, lanes

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
TYPES = FactTypes(gate_pb2, private_pb2)


class Quiet:
    def decided_again(self, command: str) -> None: ...

    def repeated(self, command: str) -> None: ...

    def effect_rejected(self, reaction: str, reason: str) -> None: ...

    def enforced(self, seconds: float) -> None: ...


class Consuming:
    """`conversations`: those that exist, each evaluated after every fact about a person."""

    def __init__(self, *conversations: str) -> None:
        self.conversations = conversations
        self.store = MemoryStore(ManualClock(NOON))
        self.path = CommandPath("response_sla", self.store, TYPES, ROUTES, RandomIds(), Quiet(), NoLane())
        self._effects = Effects("response_sla", self.path, Quiet())
        clock = ManualClock(NOON)
        entries = [
            *bind("response_sla.facts", facts(), self._effects, clock, Quiet()),
            *bind("response_sla.lanes", lanes(), self._effects, clock, Quiet()),
        ]
        self._entries: dict[type[Any], On] = {entry.fact: entry for entry in entries}

    async def take(self, *told: ForeignFact) -> None:
        for fact in told:
            await self._entries[type(fact.payload)].react(fact)
            if not isinstance(fact.payload, MessageSent):
                await self._evaluate(fact)

    async def restated(self, person: str, version: int, *, epoch: int = 2) -> None:
        """Moderation was restored, and told the person's standing anew as of a version; 0: it told none."""
        command = NoteRestated(person, Source("moderation/main", epoch), version, NOON)
        handled = await self.path.run(command, reaction_request("restated", person, str(epoch), str(version)))
        assert handled.facts == 1
        for name in self.conversations:
            known = await self.path.state(conversation_stream(name), CONVERSATION)
            request = reaction_request("restated", name, str(epoch), str(version))
            await self.path.run(EvaluateConversation(known.parties, NOON), request)

    async def take_together(self, sent: Sequence[ForeignFact]) -> None:
        entry = self._entries[MessageSent]
        assert entry.react_to_many is not None
        await entry.react_to_many(sent)

    async def waits(self, conversation: str) -> tuple[Wait, ...]:
        return (await self.path.state(conversation_stream(conversation), CONVERSATION)).waits

    async def _evaluate(self, cause: ForeignFact) -> None:
        for name in self.conversations:
            known = await self.path.state(conversation_stream(name), CONVERSATION)
            if known.parties.conversation_id:
                command = EvaluateConversation(known.parties, NOON)
                await self._effects.run("evaluate", cause.envelope, [command])


def told(
    payload: Message, fact_id: str, at: datetime, version: int, *, service: str, epoch: int = 1, position: int = 0
) -> ForeignFact:
    envelope = Envelope(id=fact_id, type=payload.DESCRIPTOR.full_name, occurred_at=timestamp(at))
    place = position or version
    source = f"{service}/main/{epoch}"
    return ForeignFact(envelope, payload, "topic", 0, place, source, place, "stream", version, at)


def message(
    sequence: int,
    minutes: float,
    *,
    by: str = "client",
    epoch: int = 1,
    fact_id: str = "",
    conversation: str = "one",
    client: str = "client",
    therapist: str = "therapist",
) -> ForeignFact:
    """A message that expects a reply. Its fact is another one in another epoch, unless it has its id."""
    sent = MessageSent(
        conversation_id=conversation,
        client_id=client,
        therapist_id=therapist,
        sequence=sequence,
        sender=SIDE_CLIENT if by == "client" else SIDE_THERAPIST,
        expects=EXPECTATION_REPLY,
    )
    at = NOON + timedelta(minutes=minutes)
    fact_id = fact_id or f"{conversation}-{epoch}-{sequence}"
    return told(sent, fact_id, at, sequence, service="messaging", epoch=epoch)
