"""The platform as one thing: five processes, tokens for them, and their facts."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import grpc
from google.protobuf import descriptor_pool

from holdspace.age_verification.v1.service_pb2_grpc import AgeVerificationServiceStub
from holdspace.kernel.v1.envelope_pb2 import Envelope
from holdspace.kernel.v1.options_pb2 import access
from holdspace.messaging.v1.service_pb2_grpc import MessagingServiceStub
from holdspace.moderation.v1.service_pb2_grpc import ModerationServiceStub
from holdspace.response_sla.v1.service_pb2_grpc import ResponseSlaServiceStub
from holdspace.scheduling.v1.service_pb2_grpc import SchedulingServiceStub
from infra.database import SERVICES
from infra.local.servers import Servers
from kernel.facts import open_envelope
from tests.running import ServiceProcess

STUBS: dict[str, Callable[[grpc.aio.Channel], Any]] = {
    "age_verification": AgeVerificationServiceStub,
    "messaging": MessagingServiceStub,
    "moderation": ModerationServiceStub,
    "response_sla": ResponseSlaServiceStub,
    "scheduling": SchedulingServiceStub,
}
GRPC_SERVICES = {
    "age_verification": "holdspace.age_verification.v1.AgeVerificationService",
    "messaging": "holdspace.messaging.v1.MessagingService",
    "moderation": "holdspace.moderation.v1.ModerationService",
    "response_sla": "holdspace.response_sla.v1.ResponseSlaService",
    "scheduling": "holdspace.scheduling.v1.SchedulingService",
}
Answer = TypeVar("Answer")


@dataclass(slots=True)
class Calls:
    """One stub per service, for a caller with every right."""

    age_verification: Any
    messaging: Any
    moderation: Any
    response_sla: Any
    scheduling: Any


@dataclass(slots=True)
class Platform:
    processes: dict[str, ServiceProcess]
    database_url: str
    credentials: Path

    @classmethod
    def start(cls, servers: Servers, database_url: str, credentials: Path, folder: Path) -> "Platform":
        cell = f"test{secrets.token_hex(4)}"
        processes = {
            name: ServiceProcess(name, servers, database_url, credentials, folder, cell=cell).start(wait=False)
            for name in SERVICES
        }
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda process: process.wait_until_ready(), processes.values()))
        return cls(processes, database_url, credentials)

    def stop(self) -> None:
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda process: process.stop(), self.processes.values()))

    @asynccontextmanager
    async def calls(self) -> AsyncIterator[Calls]:
        channels = {name: process.channel(*rights(name)) for name, process in self.processes.items()}
        yield Calls(**{name: STUBS[name](channel) for name, channel in channels.items()})
        for channel in channels.values():
            await channel.close()

    async def facts(self, service: str, stream: str) -> list[Envelope]:
        """Returns the envelopes of a stream, in order."""
        rows = await self._fetch(service, "select fact from facts where stream = $1 order by version", stream)
        return [open_envelope(row[0]) for row in rows]

    async def head(self, service: str) -> int:
        return int((await self._fetch(service, "select coalesce(max(position), 0) from facts"))[0][0])

    async def _fetch(self, service: str, sql: str, *arguments: object) -> list[Any]:
        settings = {"role": f"{service}_api", "search_path": service}
        connection = await asyncpg.connect(self.database_url, server_settings=settings)
        try:
            return list(await connection.fetch(sql, *arguments))
        finally:
            await connection.close()


def rights(service: str) -> Sequence[str]:
    """Returns every right that the service's methods ask for."""
    methods = descriptor_pool.Default().FindServiceByName(GRPC_SERVICES[service]).methods
    return sorted({method.GetOptions().Extensions[access].right for method in methods})


async def eventually(ask: Callable[[], Awaitable[Answer | None]], seconds_max: float = 15) -> Answer:
    """Asks until the answer is neither None nor False. Fails with the last error otherwise."""
    deadline = time.monotonic() + seconds_max
    last: Exception | None = None
    while time.monotonic() < deadline:
        try:
            answer = await ask()
        except (grpc.aio.AioRpcError, AssertionError) as error:
            last = error
        else:
            if answer is not None and answer is not False:
                return answer
        await asyncio.sleep(0.01)
    raise AssertionError(f"not within {seconds_max} s") from last
