"""The platform as one thing: five processes, a caller with every right, and the facts they store."""

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

from holdspace.kernel.v1.envelope_pb2 import Envelope
from infra.callers import Callers, callers
from infra.database import SERVICES
from infra.demo.world import PASSING, World
from infra.local import keys
from infra.local.servers import Servers
from kernel.facts import open_envelope
from kernel.grpc.client import reason_of
from kernel.process import ROLES
from tests.running import ServiceProcess

Answer = TypeVar("Answer")


@dataclass(slots=True)
class Platform:
    """`processes`: those that answer calls, by service. `others`: roles that have processes of their own."""

    processes: dict[str, ServiceProcess]
    database_url: str
    credentials: Path
    others: Sequence[ServiceProcess] = ()

    @classmethod
    def start(
        cls,
        servers: Servers,
        database_url: str,
        credentials: Path,
        folder: Path,
        *,
        cell: str = "",
        apart: bool = False,
    ) -> "Platform":
        """`cell`: of an earlier run on this database, else a new one. `apart`: a process for each role."""
        here = cell or f"test{secrets.token_hex(4)}"

        def started(name: str, *roles: str) -> ServiceProcess:
            process = ServiceProcess(name, servers, database_url, credentials, folder, cell=here, roles=roles)
            return process.start(wait=False)

        processes = {name: started(name, "api") if apart else started(name) for name in SERVICES}
        others = [started(name, role) for name in SERVICES for role in _beside(name)] if apart else []
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda process: process.wait_until_ready(), processes.values()))
        return cls(processes, database_url, credentials, others)

    def stop(self) -> None:
        with ThreadPoolExecutor(32) as pool:
            list(pool.map(lambda process: process.stop(), [*self.processes.values(), *self.others]))

    @asynccontextmanager
    async def world(self) -> AsyncIterator[World]:
        """People with ids of their own, and a caller that may act for all of them."""
        async with self.callers() as opened:
            yield World(opened, self.credentials, self.database_url)

    @asynccontextmanager
    async def callers(self) -> AsyncIterator[Callers]:
        targets = {name: process.target for name, process in self.processes.items()}

        def token_with(scope: list[str]) -> str:
            return keys.mint(self.credentials, subject="web", kind="service", scope=scope)

        async with callers(targets, token_with) as opened:
            yield opened

    async def facts(self, service: str, stream: str) -> list[Envelope]:
        """Returns the envelopes of a stream, in order."""
        rows = await self.rows(service, "select fact from facts_of($1) order by version", stream)
        return [open_envelope(row[0]) for row in rows]

    async def calls_taken(self, service: str) -> int:
        """Returns how many calls the store remembers. Nothing is appended by a call without its request."""
        return int((await self.rows(service, "select count(*) from requests_call"))[0][0])

    async def rows(self, service: str, sql: str, *arguments: object) -> list[Any]:
        """Asks a service's own schema, read model first."""
        settings = {"role": f"{service}_api", "search_path": f"{service}_read, {service}"}
        connection = await asyncpg.connect(self.database_url, server_settings=settings)
        try:
            return list(await connection.fetch(sql, *arguments))
        finally:
            await connection.close()


async def eventually(ask: Callable[[], Awaitable[Answer | None]], seconds_max: float = 20) -> Answer:
    """Asks until the answer is neither None nor False. Fails with the last error otherwise.

    Passes over assertions that do not hold yet and refusals for a passing reason; any other error ends it at once.
    """
    deadline = time.monotonic() + seconds_max
    last: Exception | None = None
    while time.monotonic() < deadline:
        try:
            answer = await ask()
        except AssertionError as error:
            last = error
        except grpc.aio.AioRpcError as error:
            if reason_of(error)[0] not in PASSING:
                raise
            last = error
        else:
            if answer is not None and answer is not False:
                return answer
        await asyncio.sleep(0.01)
    raise AssertionError(f"not within {seconds_max} s") from last


# Response-SLA publishes nothing, age verification has no gates.
MISSING = {("response_sla", "relay"), ("age_verification", "lanes")}


def _beside(service: str) -> list[str]:
    """Returns the roles of a service that do not answer calls."""
    return [role for role in ROLES if role != "api" and (service, role) not in MISSING]
