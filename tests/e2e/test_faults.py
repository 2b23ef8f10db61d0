"""Faults under load: nothing is lost, nothing happens twice, and the platform goes on by itself."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import grpc
import pytest

from holdspace.messaging.v1.events_pb2 import EXPECTATION_REPLY, MESSAGE_KIND_TEXT
from holdspace.messaging.v1.service_pb2 import SendMessageRequest
from holdspace.response_sla.v1.private_pb2 import MessageNoted
from infra.callers import Callers
from infra.database import SERVICES
from infra.demo.history import Line
from infra.demo.world import World, fresh
from infra.local import servers as local_servers
from services.messaging.domain.conversation import conversation_id
from tests.e2e.platform import Platform, eventually
from tests.sentences import START

PAIRS = 8
MESSAGES = 40
AGAIN = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED)

Fault = Callable[[], Awaitable[None]]


async def send_all(callers: Callers, client: str, therapist: str, gate: asyncio.Event, half: asyncio.Semaphore) -> None:
    """Sends in order, each message again with its id until it is answered; stops half way for the fault to begin."""
    for number in range(MESSAGES):
        if number == MESSAGES // 2:
            half.release()
            await gate.wait()
        request = SendMessageRequest(
            request_id=fresh(),
            sender_id=client,
            client_id=client,
            therapist_id=therapist,
            body=b"sealed",
            expects=EXPECTATION_REPLY,
            kind=MESSAGE_KIND_TEXT,
        )
        while True:
            try:
                await callers.messaging.SendMessage(request, timeout=5)
                break
            except grpc.aio.AioRpcError as error:
                if error.code() not in AGAIN:
                    raise
                await asyncio.sleep(0.1)


async def sequences_noted(platform: Platform, conversation: str) -> list[int]:
    """Returns the messages that response-SLA has taken in of a conversation, in the order of its own stream."""
    facts = await platform.facts("response_sla", f"conversation-{conversation}")
    noted = [fact for fact in facts if fact.type == MessageNoted.DESCRIPTOR.full_name]
    return [MessageNoted.FromString(fact.payload).sequence for fact in noted]


async def load_with(platform: Platform, fault: Fault) -> None:
    async with platform.world() as world:
        pairs = [(world.person(f"client-{n}"), world.person(f"therapist-{n}")) for n in range(PAIRS)]
        await world.bring_history([Line(client, therapist, START) for client, therapist in pairs])
        gate, half = asyncio.Event(), asyncio.Semaphore(0)
        sending = asyncio.gather(*(send_all(world.callers, *pair, gate, half) for pair in pairs))
        for _ in pairs:
            await half.acquire()
        faulty = asyncio.create_task(fault())
        await asyncio.sleep(0)
        gate.set()
        await faulty
        await asyncio.wait_for(sending, 60)
        await nothing_lost_nothing_twice(platform, world, pairs)


async def nothing_lost_nothing_twice(platform: Platform, world: World, pairs: list[tuple[str, str]]) -> None:
    everything = list(range(1, MESSAGES + 2))
    for client, therapist in pairs:
        conversation = conversation_id(client, therapist)
        rows = await platform.rows("messaging", "select version from facts_of($1)", f"conversation-{conversation}")
        assert len(rows) == len(everything) + 2  # opened, and marked as imported

        async def taken_in(conversation: str = conversation) -> bool:
            return sorted(await sequences_noted(platform, conversation)) == everything

        await eventually(taken_in, seconds_max=60)


@pytest.mark.timeout(180)
@pytest.mark.rule("PL1")
@pytest.mark.parametrize("name", SERVICES)
async def test_a_service_killed_under_load_loses_nothing_and_does_nothing_twice(platform: Platform, name: str) -> None:
    async def kill_and_start() -> None:
        process = platform.processes[name]
        await asyncio.to_thread(process.kill)
        await asyncio.sleep(0.3)
        await asyncio.to_thread(process.start)

    await load_with(platform, kill_and_start)


@pytest.mark.timeout(240)
@pytest.mark.rule("PL1")
@pytest.mark.parametrize("server", ["kafka", "postgres"])
async def test_a_server_restarted_under_load_costs_time_and_no_fact(
    platform: Platform, servers_folder: Path, server: str
) -> None:
    async def restart() -> None:
        await asyncio.to_thread(local_servers.stop_server, servers_folder, server, hard=True)  # type: ignore[arg-type]
        await asyncio.sleep(1)
        await asyncio.to_thread(local_servers.start_server, servers_folder, server)  # type: ignore[arg-type]

    await load_with(platform, restart)
    for process in platform.processes.values():
        assert process.process is not None
        assert process.process.poll() is None, "what has to begin anew does so inside its process"
