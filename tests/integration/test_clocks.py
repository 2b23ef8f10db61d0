"""A service process whose clock is minutes off (libfaketime) answers nothing else, and comes back by itself (PL9)."""

import asyncio
import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from holdspace.scheduling.v1 import service_pb2, service_pb2_grpc
from infra.local.servers import Servers
from tests.calls import fresh, refused
from tests.running import ServiceProcess

LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))

pytestmark = pytest.mark.skipif(not LIBRARIES, reason="faketime is not installed (apt-get install faketime)")


class Elsewhen:
    """A scheduling process whose clock can be set."""

    def __init__(self, process: ServiceProcess, file: Path) -> None:
        self.process = process
        self._file = file

    def set_clock(self, offset: str) -> None:
        """Takes an offset as faketime has it, such as +300 or -2m."""
        self._file.write_text(offset)

    async def health(self) -> int:
        async with grpc.aio.insecure_channel(self.process.target) as plain:
            answer = await health_pb2_grpc.HealthStub(plain).Check(
                health_pb2.HealthCheckRequest(), timeout=40, wait_for_ready=True
            )
        return int(answer.status)

    async def until_health_is(self, status: int) -> None:
        async with asyncio.timeout(30):
            while await self.health() != status:  # noqa: ASYNC110 - told by another process
                await asyncio.sleep(0.1)

    async def until_offset_is(self, seconds: float) -> None:
        async with asyncio.timeout(30):
            while abs(await self.offset() - seconds) > 0.5:  # noqa: ASYNC110 - told by another process
                await asyncio.sleep(0.1)

    async def offset(self) -> float:
        url = f"http://127.0.0.1:{self.process.metrics_port}/metrics"
        text = await asyncio.to_thread(lambda: urllib.request.urlopen(url).read().decode())
        (line,) = [line for line in text.splitlines() if line.startswith("holdspace_clock_offset_seconds ")]
        return float(line.split()[1])

    def told(self, event: str) -> int:
        return sum(json.loads(line)["event"] == event for line in self.process.log.read_text().splitlines())


@pytest.fixture
def elsewhen(servers: Servers, database_url: str, credentials: Path, tmp_path: Path) -> Iterator[Elsewhen]:
    file = tmp_path / "faketime"
    more = {
        "LD_PRELOAD": str(LIBRARIES[0]),
        "FAKETIME_TIMESTAMP_FILE": str(file),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_DONT_RESET": "1",
    }
    process = ServiceProcess("scheduling", servers, database_url, credentials, tmp_path, more=more)
    yield Elsewhen(process, file)
    process.kill()


@pytest.mark.rule("PL9")
@pytest.mark.parametrize("offset", ["+300", "-120"])
async def test_a_process_with_a_wrong_clock_decides_nothing_and_says_so_until_it_is_set(
    elsewhen: Elsewhen, offset: str
) -> None:
    serving, not_serving = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
    enrol = service_pb2.EnrolTherapistRequest(request_id=fresh(), operator_id=fresh(), therapist_id=fresh())
    elsewhen.set_clock(offset)
    elsewhen.process.start(wait=False)
    async with elsewhen.process.channel("scheduling.enrol") as channel:
        stub = service_pb2_grpc.SchedulingServiceStub(channel)
        assert await elsewhen.health() == not_serving
        assert await refused(stub.EnrolTherapist(enrol)) == ("UNAVAILABLE", "CLOCK_OFF", "")
        await elsewhen.until_offset_is(float(offset))
        assert elsewhen.told("the clock is off; nothing is decided until it is set") == 1

        elsewhen.set_clock("+0")
        await elsewhen.until_health_is(serving)
        await stub.EnrolTherapist(enrol)
        await elsewhen.until_offset_is(0)

        elsewhen.set_clock(offset)
        enrol.request_id = fresh()
        assert await refused(stub.EnrolTherapist(enrol)) == ("UNAVAILABLE", "CLOCK_OFF", "")
        await elsewhen.until_health_is(not_serving)
