"""What slipped in before a measure arrived is withheld, and comes back with its lift: after crashes, in any order."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from holdspace.messaging.v1.events_pb2 import MessagesRestored, MessagesWithheld
from holdspace.messaging.v1.private_pb2 import GapSearched
from kernel.errors import StoreUnavailable
from kernel.facts import FACT_BYTES_MAX
from services.messaging.app import conversation_stream
from services.messaging.domain.conversation import conversation_id
from services.messaging.gap import Gaps
from tests.integration.messaging_world import (
    SECOND,
    TYPES,
    Faltering,
    MessagingWorld,
    conversation_opened,
    message_sent,
    messaging_world,
)
from tests.integration.test_own_reactions import Dying

MINUTE = timedelta(minutes=1)


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[MessagingWorld]:
    async with messaging_world(database_url) as made:
        await made.enrol("t", "t2")
        yield made


async def slipped_in(world: MessagingWorld) -> Any:
    """One message before the client is suspended and two after it, of which messaging does not know yet. Returns when
    the suspension was decided.
    """
    await world.send("c", "t")
    world.clock.advance(SECOND)
    decided_at = world.clock.now()
    await world.send("c", "t", 2)
    return decided_at


@pytest.mark.rule("MO5", "MO4")
async def test_what_slipped_in_is_withheld_until_the_reinstatement(world: MessagingWorld) -> None:
    decided_at = await slipped_in(world)
    await world.run(world.suspension("c", 1, decided_at))
    await world.react()
    assert await world.seen("c", "t", by_client=False) == [1]
    assert await world.seen("c", "t", by_client=True) == [1, 2, 3]
    [searched] = [fact for fact in await world.facts(GapSearched) if fact.over]
    assert searched.messages == 2
    await world.run(world.reinstatement("c", 2, world.clock.now()))
    await world.react()
    assert await world.seen("c", "t", by_client=False) == [1, 2, 3]


@pytest.mark.rule("MO4")
async def test_a_suspension_and_its_reversal_that_arrive_together_leave_nothing_withheld(world: MessagingWorld) -> None:
    decided_at = await slipped_in(world)
    await world.run(world.suspension("c", 1, decided_at), world.reinstatement("c", 2, world.clock.now()))
    await world.react()
    assert await world.seen("c", "t", by_client=False) == [1, 2, 3]
    assert await world.ever_withheld() == []


@pytest.mark.rule("MO4")
@pytest.mark.parametrize("dies_at", ["save_checkpoint", "append", "read_stream"])
@pytest.mark.parametrize("taken", [1, 2, 3, 4])
async def test_a_reversal_that_arrives_while_the_suspension_is_carried_out_gives_everything_back(
    world: MessagingWorld, taken: int, dies_at: str
) -> None:
    """`taken`: how far the reactions were when the reversal came, and their process died."""
    decided_at = await slipped_in(world)
    await world.run(world.suspension("c", 1, decided_at))
    first = world.reactions()
    for _ in range(taken):
        await world.project()
        await first.step()
    await world.run(world.reinstatement("c", 2, world.clock.now()))
    with pytest.raises((StoreUnavailable, ExceptionGroup)):
        await world.react(world.reactions(Dying(world.store, dies_at)))  # type: ignore[arg-type]
    await world.react()
    await world.store.save_checkpoint("own-reactions", 0)  # once more from the beginning
    await world.react()
    assert await world.seen("c", "t", by_client=False) == [1, 2, 3]


@pytest.mark.rule("MO4", "MO5")
@pytest.mark.parametrize("taken", [0, 1, 2])
async def test_what_was_sent_after_a_reinstatement_is_never_withheld(world: MessagingWorld, taken: int) -> None:
    decided_at = await slipped_in(world)
    await world.run(world.suspension("c", 1, decided_at))
    begun = world.reactions()
    for _ in range(taken):
        await world.project()
        await begun.step()
    await world.run(world.reinstatement("c", 2, world.clock.now()))
    await world.send("c", "t", 2)
    await world.react()
    assert set(await world.ever_withheld()) <= {2, 3}
    assert await world.seen("c", "t", by_client=False) == [1, 2, 3, 4, 5]


@pytest.mark.rule("MO4", "MO5")
async def test_what_was_sent_after_a_suspension_ended_by_itself_is_not_withheld(world: MessagingWorld) -> None:
    decided_at = await slipped_in(world)
    until = world.clock.now() + SECOND
    world.clock.advance(MINUTE)
    await world.send("c", "t")
    await world.run(world.suspension("c", 1, decided_at, until=until))
    await world.react()
    assert await world.seen("c", "t", by_client=False) == [1, 4]


@pytest.mark.rule("MO4", "MO5")
async def test_a_second_suspension_keeps_what_the_lift_of_the_first_would_give_back(world: MessagingWorld) -> None:
    first = await slipped_in(world)
    reversed_at = world.clock.now() + SECOND
    world.clock.advance(2 * SECOND)
    second = world.clock.now()
    await world.send("c", "t", 2)
    for copied in (
        world.suspension("c", 1, first), world.reinstatement("c", 2, reversed_at), world.suspension("c", 3, second),
    ):  # fmt: skip
        await world.run(copied)
    await world.react()
    assert await world.seen("c", "t", by_client=False) == [1, 2, 3]
    await world.run(world.reinstatement("c", 4, world.clock.now()))
    await world.react()
    assert await world.seen("c", "t", by_client=False) == [1, 2, 3, 4, 5]


@pytest.mark.rule("MO1", "MO5")
async def test_a_person_is_held_to_a_measure_in_both_their_roles(world: MessagingWorld) -> None:
    await world.send("c", "t")
    decided_at = world.clock.now() + SECOND
    world.clock.advance(SECOND)
    await world.send("c", "t", by_client=False)
    await world.send("c", "t")
    await world.send("t", "t2", 2)
    await world.run(world.suspension("t", 1, decided_at))
    await world.react()
    assert await world.seen("c", "t", by_client=True) == [1, 3]
    assert await world.seen("c", "t", by_client=False) == [1, 2, 3]
    assert await world.seen("t", "t2", by_client=False) == []
    await world.run(world.reinstatement("t", 2, world.clock.now()))
    await world.react()
    assert await world.seen("c", "t", by_client=True) == [1, 2, 3]
    assert await world.seen("t", "t2", by_client=False) == [1, 2]


@pytest.mark.rule("MO4")
@pytest.mark.parametrize("again", [False, True])
async def test_a_suspension_that_its_restored_source_lost_is_undone(world: MessagingWorld, again: bool) -> None:
    """The source is restored to before the suspension: its next epoch says, with a lower version, that all is well."""
    decided_at = await slipped_in(world)
    await world.run(world.suspension("c", 7, decided_at))
    await world.react()
    assert await world.seen("c", "t", by_client=False) == [1]
    await world.run(world.lapse("c", 2, decided_at - MINUTE, epoch=2))
    if again:
        await world.run(world.suspension("c", 3, decided_at, epoch=2))
    await world.react()
    assert await world.seen("c", "t", by_client=False) == ([1] if again else [1, 2, 3])


async def test_a_suspension_that_its_restored_source_states_anew_searches_nothing_again(world: MessagingWorld) -> None:
    decided_at = await slipped_in(world)
    await world.run(world.suspension("c", 7, decided_at))
    await world.react()
    searched = await world.facts(GapSearched)
    await world.run(world.suspension("c", 3, decided_at, epoch=2))
    await world.react()
    assert await world.facts(GapSearched) == searched
    await world.run(world.reinstatement("c", 4, world.clock.now(), epoch=2))
    await world.react()
    assert await world.seen("c", "t", by_client=False) == [1, 2, 3]


async def test_what_ends_a_suspension_by_time_gives_nothing_back(world: MessagingWorld) -> None:
    decided_at = await slipped_in(world)
    await world.run(world.suspension("c", 1, decided_at))
    await world.react()
    await world.run(world.lapse("c", 2, world.clock.now()))
    await world.react()
    assert await world.seen("c", "t", by_client=False) == [1]


@pytest.mark.rule("MO5")
@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_a_gap_is_searched_in_small_parts_though_the_process_dies_again_and_again(
    world: MessagingWorld, seed: int
) -> None:
    decided_at = await slipped_in(world)
    await world.send("c", "t2", 3)
    await world.send("c", "t", 4, by_client=False)
    await world.send("c", "t", 2)
    await world.run(world.suspension("c", 1, decided_at))
    small = Gaps(world.queries, TYPES, positions_max=3, facts_max=2)
    deaths = 0
    for attempt in range(100):
        dying: Any = Faltering(world.store, 100 * seed + attempt)
        try:
            await world.react(world.reactions(dying, small))
            break
        except (StoreUnavailable, ExceptionGroup):
            deaths += 1
    assert 3 <= deaths < 99
    assert await world.seen("c", "t", by_client=False) == [1, 4, 5, 6, 7]
    assert await world.seen("c", "t2", by_client=False) == []
    [searched] = [fact for fact in await world.facts(GapSearched) if fact.over]
    assert searched.messages == len(await world.ever_withheld()) == 7
    assert len(await world.facts(MessagesWithheld)) >= 3


@pytest.mark.rule("MO5")
async def test_a_client_with_ten_thousand_conversations_is_withheld_from_all_and_given_back_to_all(
    world: MessagingWorld,
) -> None:
    therapists = [f"t{n}" for n in range(10_000)]
    began, decided_at = world.clock.now(), world.clock.now() + SECOND
    facts: list[Any] = []
    for therapist in therapists:
        stream = conversation_stream(conversation_id("c", therapist))
        facts.append((stream, 1, began, conversation_opened("c", therapist)))
        facts.append((stream, 2, began, message_sent("c", therapist, 1)))
    for therapist in therapists:
        stream = conversation_stream(conversation_id("c", therapist))
        facts.append((stream, 3, decided_at, message_sent("c", therapist, 2)))
    await world.record(facts)
    await world.run(world.suspension("c", 1, decided_at))
    await world.react()
    withheld = await world.facts(MessagesWithheld)
    assert {fact.therapist_id: list(fact.sequences) for fact in withheld} == {key: [2] for key in therapists}
    assert len(withheld) == len(therapists)
    await world.run(world.reinstatement("c", 2, decided_at + SECOND))
    await world.react()
    restored = await world.facts(MessagesRestored)
    assert {fact.therapist_id: list(fact.sequences) for fact in restored} == {key: [2] for key in therapists}
    assert len(restored) == len(therapists)
    assert world.counted.rejected == []


@pytest.mark.rule("MO5")
async def test_a_flood_of_27500_messages_is_withheld_whole_and_given_back_whole(world: MessagingWorld) -> None:
    count = 27_500
    began, decided_at = world.clock.now(), world.clock.now() + SECOND
    stream = conversation_stream(conversation_id("c", "t"))
    facts: list[Any] = [
        (stream, 1, began, conversation_opened("c", "t")),
        (stream, 2, began, message_sent("c", "t", 1)),
    ]
    facts += [(stream, n + 1, decided_at, message_sent("c", "t", n)) for n in range(2, count + 2)]
    await world.record(facts)
    await world.run(world.suspension("c", 1, decided_at))
    await world.react()
    assert world.counted.rejected == []
    assert await world.ever_withheld() == list(range(2, count + 2))
    assert max(fact.ByteSize() for fact in await world.facts(MessagesWithheld)) < FACT_BYTES_MAX / 4
    assert await world.seen("c", "t", by_client=False) == [1]
    await world.run(world.reinstatement("c", 2, decided_at + SECOND))
    await world.react()
    assert await world.seen("c", "t", by_client=False) == list(range(1, count + 2))
