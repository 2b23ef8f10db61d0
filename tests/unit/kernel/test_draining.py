"""SIGTERM with calls in flight: a real process, and every call of its callers is answered."""

import asyncio
import os
import random
import signal
import sys
from asyncio.subprocess import DEVNULL, Process
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from kernel.grpc.client import channel, reason_of
from tests.running import free_port
from tests.unit.kernel.diary import AUDIENCE, ISSUER, PAGE_KEY, Issuer, diary_pb2, diary_pb2_grpc, write

SCOPE = "diary.write diary.read act_for"
ANSWERED = {("OK", ""), ("UNAVAILABLE", "DRAINING")}
DRAIN_SECONDS = 2.0


class DiaryProcess:
    def __init__(self, process: Process, target: str, token: str) -> None:
        self.process = process
        self.target = target
        self._token = token

    def calling(self) -> grpc.aio.Channel:
        return channel(self.target, self._token, deadline_seconds=10)

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    async def exit(self) -> int:
        async with asyncio.timeout(20):
            return await self.process.wait()


@asynccontextmanager
async def diary_process(folder: Path, **settings: str) -> AsyncIterator[DiaryProcess]:
    issuer, port = Issuer(), free_port()
    (folder / "jwks.json").write_text(issuer.jwks())
    environment = {
        "HOLDSPACE_DATABASE_URL": "postgresql://localhost/none",
        "HOLDSPACE_KAFKA": "localhost:9092",
        "HOLDSPACE_CELL": "a",
        "HOLDSPACE_JWKS": str(folder / "jwks.json"),
        "HOLDSPACE_ISSUER": ISSUER,
        "HOLDSPACE_AUDIENCE": AUDIENCE,
        "HOLDSPACE_PAGE_TOKEN_KEY": PAGE_KEY,
        "HOLDSPACE_METRICS_PORT": "0",
        "HOLDSPACE_GRPC_PORT": str(port),
        "HOLDSPACE_DRAIN_SECONDS": str(DRAIN_SECONDS),
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.unit.kernel.diary_process", "api"),
        env={**os.environ, **environment, **settings},
        stdout=DEVNULL,
    )
    it = DiaryProcess(process, f"127.0.0.1:{port}", issuer.token(scope=SCOPE))
    try:
        async with it.calling() as connected, asyncio.timeout(20):
            await connected.channel_ready()
        yield it
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def told(call: Any) -> tuple[str, str]:
    """Returns the status and the reason that a call ends with."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error.code().name, reason_of(error)[0]
    return "OK", ""


@pytest.mark.parametrize("seed", range(4))
async def test_a_hundred_calls_at_once_with_a_sigterm_among_them_are_all_answered(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    terminates_after = chance.randrange(100)
    async with diary_process(tmp_path) as it, it.calling() as connected:
        stub = diary_pb2_grpc.DiaryServiceStub(connected)
        assert await told(stub.Write(write(text="0"))) == ("OK", "")
        calls = []
        for number in range(100):
            calls.append(asyncio.ensure_future(told(stub.Write(write(text=str(chance.randrange(200)))))))
            if number == terminates_after:
                if chance.random() < 0.5:
                    await asyncio.sleep(chance.random() * 0.01)  # Some are under way by then; else none is.
                it.terminate()
        ends = Counter(await asyncio.gather(*calls))
        assert set(ends) <= ANSWERED, ends
        assert await it.exit() == 0


async def test_callers_that_never_stop_calling_are_answered_to_the_last(tmp_path: Path) -> None:
    async with diary_process(tmp_path) as it, it.calling() as connected:
        stub = diary_pb2_grpc.DiaryServiceStub(connected)
        ends: Counter[tuple[str, str]] = Counter()

        async def call_on() -> None:
            while it.process.returncode is None:
                ends[await told(stub.Write(write(text="5")))] += 1
                await asyncio.sleep(0)

        callers = [asyncio.create_task(call_on()) for _ in range(30)]
        for _ in range(20):
            await told(stub.Write(write(text="10")))
        it.terminate()
        assert await it.exit() == 0
        await asyncio.gather(*callers)
        # Without a reason is only who could not connect any more: no server of ours has answered.
        assert set(ends) <= {*ANSWERED, ("UNAVAILABLE", "")}, ends
        assert ends["UNAVAILABLE", "DRAINING"] >= 1


async def test_what_is_under_way_for_longer_than_the_drain_is_answered_too(tmp_path: Path) -> None:
    async with diary_process(tmp_path, HOLDSPACE_DRAIN_SECONDS="0.3") as it, it.calling() as connected:
        stub = diary_pb2_grpc.DiaryServiceStub(connected)
        following = stub.Follow(diary_pb2.FollowRequest(count=1_000))
        await following.read()
        slow = asyncio.ensure_future(told(stub.Write(write(text="9000"))))
        assert await told(stub.Write(write(text="0"))) == ("OK", "")
        it.terminate()
        assert await slow == ("UNAVAILABLE", "DRAINING")
        assert await told(_all_of(following)) == ("UNAVAILABLE", "DRAINING")
        assert await it.exit() == 0


async def test_a_stream_of_requests_answers_what_it_took_and_ends_with_the_reason(tmp_path: Path) -> None:
    async with diary_process(tmp_path) as it, it.calling() as connected:
        stub = diary_pb2_grpc.DiaryServiceStub(connected)
        stream, sum_up = stub.WriteStream(), stub.WriteAll()
        await sum_up.write(write(text="a"))
        await stream.write(write())
        assert (await stream.read()).text == "hello"
        it.terminate()
        assert await told(_all_of(stream)) == ("UNAVAILABLE", "DRAINING")
        assert await told(sum_up) == ("UNAVAILABLE", "DRAINING")
        assert await it.exit() == 0


async def _all_of(stream: Any) -> None:
    while await stream.read() is not grpc.aio.EOF:
        """What was answered before the end is not asked about."""
