"""What passes between a suspension and its arrival: forced to happen, withheld, counted, and given back."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from holdspace.messaging.v1.events_pb2 import MessagesWithheld
from holdspace.messaging.v1.service_pb2 import ListMessagesRequest
from holdspace.moderation.v1.events_pb2 import REINSTATEMENT_LIFTED, SEVERITY_DANGER
from holdspace.moderation.v1.service_pb2 import ReinstateClientRequest, State
from infra.demo.world import World, fresh, refusal, until
from kernel.process import ROLES
from tests.e2e import test_stories
from tests.e2e.platform import Platform, eventually
from tests.e2e.test_stories import contact_seen, enrolled, report
from tests.running import ServiceProcess, free_port

world = test_stories.world
LATE = 3


@pytest.fixture
def lanes(platform: Platform) -> Iterator[ServiceProcess]:
    """Messaging's lanes, by which suspensions reach it, as a process of their own."""
    together = platform.processes["messaging"]
    others = [role for role in ROLES if role != "lanes"]
    assert together.stop() == 0
    rest = replace(together, roles=others, process=None)
    apart = replace(together, roles=["lanes"], process=None, port=free_port(), metrics_port=free_port())
    try:
        apart.start(wait=False)
        rest.start()
        yield apart
    finally:
        apart.stop()
        rest.stop()
        together.start()


@contextmanager
def stopped(lanes: ServiceProcess) -> Iterator[None]:
    assert lanes.process is not None
    lanes.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        lanes.process.send_signal(signal.SIGCONT)


@pytest.mark.rule("MO5.f", "MO5.g", "MO4.c")
async def test_messages_that_slipped_in_before_the_suspension_arrived_are_withheld_counted_and_given_back(
    platform: Platform, lanes: ServiceProcess, world: World
) -> None:
    [therapist] = await enrolled(world, "t0")
    client = world.person("client")
    first = await until(world.write(client, therapist))
    await eventually(lambda: contact_seen(platform, client, 1))
    with stopped(lanes):
        assert await report(world, client, therapist, SEVERITY_DANGER) == State.STATE_SUSPENDED
        slipped = [await world.write(client, therapist) for _ in range(LATE)]
    late = [message.sequence for message in slipped]
    assert late == [first.sequence + n for n in range(1, LATE + 1)]

    async def seen_by(person: str) -> list[int]:
        asked = ListMessagesRequest(conversation_id=first.conversation_id, participant_id=person, page_size=500)
        return [message.sequence for message in (await world.callers.messaging.ListMessages(asked)).messages]

    async def withheld() -> list[int]:
        facts = await platform.facts("messaging", f"conversation-{first.conversation_id}")
        told = [MessagesWithheld.FromString(f.payload) for f in facts if f.type.endswith(".MessagesWithheld")]
        return sorted(sequence for each in told for sequence in each.sequences)

    async def kept_from_the_therapist() -> bool:
        of_client, of_therapist = await asyncio.gather(seen_by(client), seen_by(therapist))
        return (of_client, of_therapist) == ([first.sequence, *late], [first.sequence])

    await eventually(kept_from_the_therapist)
    assert await withheld() == late
    assert await refusal(world.write(client, therapist)) == "SENDER_SUSPENDED"

    lift = ReinstateClientRequest(
        request_id=fresh(), moderator_id=world.person("m"), client_id=client, reinstatement=REINSTATEMENT_LIFTED
    )
    await world.callers.moderation.ReinstateClient(lift)

    async def given_back() -> bool:
        return await seen_by(therapist) == [first.sequence, *late]

    await eventually(given_back)
