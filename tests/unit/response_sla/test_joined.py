"""Messages that come many at once are noted with one append a conversation, and lead to the same waits."""

import random

import pytest

from kernel.consumers.records import ForeignFact
from kernel.facts import open_envelope
from services.response_sla.domain.conversation import conversation_stream
from services.response_sla.domain.wait import Wait
from tests.unit.response_sla.consuming import Consuming, message

CONVERSATIONS = ("one", "two", "three")


async def waits(consuming: Consuming) -> dict[str, tuple[Wait, ...]]:
    return {name: await consuming.waits(name) for name in CONVERSATIONS}


def messages(count: int) -> list[ForeignFact]:
    """In three conversations of two clients, one line after another, the sides taking irregular turns."""
    dice, sequences = random.Random(3), dict.fromkeys(CONVERSATIONS, 0)
    told = []
    for position in range(1, count + 1):
        name = dice.choice(CONVERSATIONS)
        sequences[name] += 1
        told.append(
            message(
                sequences[name],
                position * 7,
                by="client" if dice.random() < 0.6 else "therapist",
                conversation=name,
                client="client-2" if name == "three" else "client-1",
                therapist=f"therapist-{name}",
            )
        )
    return told


@pytest.mark.rule("PL1", "SL9")
async def test_messages_late_doubled_and_in_other_portions_lead_to_the_waits_of_one_after_another() -> None:
    told = messages(120)
    alone = Consuming()
    for fact in told:
        await alone.take(fact)

    dice, together = random.Random(4), Consuming()
    delivered = [*told, *dice.sample(told, 40)]
    dice.shuffle(delivered)
    while delivered:
        size = dice.randrange(1, 30)
        await together.take_together(delivered[:size])
        delivered = delivered[size:]
    await together.take_together(told)

    assert await waits(together) == await waits(alone)
    assert sum(map(len, (await waits(alone)).values())) > 10


async def test_messages_of_a_conversation_that_come_together_are_one_append_caused_by_the_last() -> None:
    consuming = Consuming()
    told = [fact for fact in messages(60) if fact.payload.conversation_id == "one"]

    await consuming.take_together(told)

    noted = await consuming.store.read_stream(conversation_stream("one"))
    assert {open_envelope(recorded.fact).cause for recorded in noted} == {told[-1].envelope.id}
    head = await consuming.store.head()
    await consuming.take_together(told[:7])
    assert await consuming.store.head() == head
