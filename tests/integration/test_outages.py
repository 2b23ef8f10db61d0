"""A service whose database goes away or hangs: what callers are told, what the log says, and how it stops."""

import asyncio
import json
import os
import signal
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest

from holdspace.messaging.v1 import service_pb2, service_pb2_grpc
from infra.database import prepare
from infra.local import postgres, state, supervisor
from infra.local.servers import Servers
from kernel.grpc.client import reason_of
from kernel.migrate import migrate
from tests.calls import fresh
from tests.running import ServiceProcess


@pytest.fixture
def database() -> Iterator[Path]:
    """The folder of a Postgres of the test's own."""
    with tempfile.TemporaryDirectory(prefix="holdspace-test-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        try:
            supervisor.ensure(folder, [postgres.program()], print)
            yield folder
        finally:
            supervisor.stop(folder, postgres.program())


@asynccontextmanager
async def messaging(database: Path, servers: Servers, credentials: Path, folder: Path) -> AsyncIterator[ServiceProcess]:
    url = postgres.url(state.load(database)[postgres.NAME].ports["sql"])
    await prepare(url)
    await migrate(url, "messaging")
    more = {"HOLDSPACE_DRAIN_SECONDS": "1"}
    process = ServiceProcess("messaging", servers, url, credentials, folder, more=more)
    await asyncio.to_thread(process.start)
    try:
        yield process
    finally:
        process.kill()


def records(process: ServiceProcess) -> list[dict[str, Any]]:
    return [json.loads(line) for line in process.log.read_text().splitlines()]


async def told(call: Any) -> tuple[str, str]:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error.code().name, reason_of(error)[0]
    return "OK", ""


async def test_a_restart_of_the_database_is_unavailable_to_callers_and_one_line_in_the_log(
    database: Path, servers: Servers, credentials: Path, tmp_path: Path
) -> None:
    async with messaging(database, servers, credentials, tmp_path) as process, process.channel("messaging.read") as it:
        stub = service_pb2_grpc.MessagingServiceStub(it)
        ends: Counter[tuple[str, str]] = Counter()
        over = asyncio.Event()

        async def read_on() -> None:
            while not over.is_set():
                ends[await told(stub.ListConversations(_of(fresh())))] += 1

        readers = [asyncio.create_task(read_on()) for _ in range(8)]
        for how in (None, signal.SIGKILL):
            before = ends["OK", ""]
            await asyncio.to_thread(supervisor.stop, database, postgres.program(), how)
            await asyncio.sleep(0.5)
            await asyncio.to_thread(supervisor.start, database, postgres.program())
            async with asyncio.timeout(30):
                while ends["OK", ""] < before + 50:  # noqa: ASYNC110 - what other tasks count
                    await asyncio.sleep(0.05)
        over.set()
        await asyncio.gather(*readers)
        assert [record["exception"] for record in records(process) if "exception" in record] == []
        assert set(ends) == {("OK", ""), ("UNAVAILABLE", "STORE_UNAVAILABLE")}, ends
        lines = Counter(record["role"] for record in records(process) if record["event"].startswith("cannot be"))
        assert max(lines.values()) <= 2, lines  # two outages


async def test_a_database_that_hangs_does_not_keep_a_process_from_stopping(
    database: Path, servers: Servers, credentials: Path, tmp_path: Path
) -> None:
    async with messaging(database, servers, credentials, tmp_path) as process, process.channel("messaging.read") as it:
        stub = service_pb2_grpc.MessagingServiceStub(it)
        known = state.load(database)[postgres.NAME].process
        assert known is not None
        postmaster = psutil.Process(known.pid)
        pids = [postmaster.pid, *(child.pid for child in postmaster.children(recursive=True))]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            reading = asyncio.create_task(told(stub.ListConversations(_of(fresh()))))
            await asyncio.sleep(1)  # The roles' questions are under way by then.
            code = await asyncio.to_thread(process.stop)
            assert (code, await reading) == (0, ("UNAVAILABLE", "DRAINING")), process.log.read_text()[-2000:]
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)


def _of(person: str) -> service_pb2.ListConversationsRequest:
    return service_pb2.ListConversationsRequest(participant_id=person)
