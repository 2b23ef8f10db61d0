"""Messages that come many at once are noted with one append a conversation, and lead to the same waits."""

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from holdspace.kernel.v1.envelope_pb2 import Envelope
from holdspace.messaging.v1.events_pb2 import EXPECTATION_REPLY, SIDE_CLIENT, SIDE_THERAPIST, MessageSent
from holdspace.response_sla.v1 import private_pb2
from kernel.clock import ManualClock
from kernel.commands import CommandPath
from kernel.consumers.listing import On
from kernel.consumers.records import ForeignFact
from kernel.facts import FactTypes, open_envelope, timestamp
from kernel.foreign import bind
from kernel.freshness import NoLane
from kernel.ids import RandomIds
from kernel.reactions import Effects
from kernel.store.memory import MemoryStore
from services.response_sla.app import CONVERSATION, ROUTES
from services.response_sla.domain.conversation_waits import conversation_stream
from services.response_sla.domain.policy import Policy
from services.response_sla.domain.wait import Wait
from services.response_sla.reactions import facts

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
CONVERSATIONS = ("one", "two", "three")


class Quiet:
    def decided_again(self, command: str) -> None: ...

    def repeated(self, command: str) -> None: ...

    def effect_rejected(self, reaction: str, reason: str) -> None: ...

    def enforced(self, seconds: float) -> None: ...


class Consuming:
    """The reaction to messages as its consumer calls it, on a store in memory."""

    def __init__(self) -> None:
        self.store = MemoryStore(ManualClock(NOON))
        self.path = CommandPath(
            "response_sla", self.store, FactTypes(private_pb2), ROUTES, RandomIds(), Quiet(), NoLane()
        )
        effects = Effects("response_sla", self.path, Quiet())
        entries = bind("response_sla.facts", facts(Policy()), effects, ManualClock(NOON), Quiet())
        self.entry: On = next(entry for entry in entries if entry.fact is MessageSent)

    async def many(self, sent: Sequence[ForeignFact]) -> None:
        assert self.entry.react_to_many is not None
        await self.entry.react_to_many(sent)

    async def waits(self) -> dict[str, tuple[Wait, ...]]:
        return {name: (await self.path.state(conversation_stream(name), CONVERSATION)).waits for name in CONVERSATIONS}


def messages(count: int) -> list[ForeignFact]:
    """In three conversations of two clients, one line after another, the sides taking irregular turns."""
    dice, sequences = random.Random(3), dict.fromkeys(CONVERSATIONS, 0)
    told = []
    for position in range(1, count + 1):
        name = dice.choice(CONVERSATIONS)
        sequences[name] += 1
        sent = MessageSent(
            conversation_id=name,
            client_id="client-2" if name == "three" else "client-1",
            therapist_id=f"therapist-{name}",
            sequence=sequences[name],
            sender=SIDE_CLIENT if dice.random() < 0.6 else SIDE_THERAPIST,
            expects=EXPECTATION_REPLY,
        )
        at = NOON + position * timedelta(minutes=7)
        envelope = Envelope(id=f"f{position}", type=sent.DESCRIPTOR.full_name, occurred_at=timestamp(at))
        told.append(ForeignFact(envelope, sent, "topic", 0, position, "messaging/main/1", position, name, position, at))
    return told


@pytest.mark.rule("PL1", "SL9")
async def test_messages_late_doubled_and_in_other_portions_lead_to_the_waits_of_one_after_another() -> None:
    told = messages(120)
    alone = Consuming()
    for fact in told:
        await alone.entry.react(fact)

    dice, together = random.Random(4), Consuming()
    delivered = [*told, *dice.sample(told, 40)]
    dice.shuffle(delivered)
    while delivered:
        size = dice.randrange(1, 30)
        await together.many(delivered[:size])
        delivered = delivered[size:]
    await together.many(told)

    assert await together.waits() == await alone.waits()
    assert sum(map(len, (await alone.waits()).values())) > 10


async def test_messages_of_a_conversation_that_come_together_are_one_append_caused_by_the_last() -> None:
    consuming = Consuming()
    told = [fact for fact in messages(60) if fact.payload.conversation_id == "one"]

    await consuming.many(told)

    noted = await consuming.store.read_stream(conversation_stream("one"))
    assert {open_envelope(recorded.fact).cause for recorded in noted} == {told[-1].envelope.id}
    head = await consuming.store.head()
    await consuming.many(told[:7])
    assert await consuming.store.head() == head
