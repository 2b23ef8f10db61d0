"""What a fault may break: the servers and processes of one round, watched over as an orchestrator would."""

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from infra import topics
from infra.database import SERVICES
from infra.local import keys, servers
from infra.local.servers import Servers
from tests.e2e.platform import Platform
from tests.faults.history import History
from tests.load.stack import Stack
from tests.running import ServiceProcess

WATCH_SECONDS = 0.2
IN_FLIGHT_SECONDS = 10.0


@dataclass(slots=True)
class Rig:
    """`servers_folder`: where the servers live. `kept_down`: processes that a fault wants to stay as they are."""

    platform: Platform
    servers: Servers
    servers_folder: Path
    history: History
    chance: random.Random
    prefix: str
    kept_down: set[str] = field(default_factory=set)
    restarts: list[str] = field(default_factory=list)

    def process(self, service: str) -> ServiceProcess:
        return self.platform.processes[service]

    def signal(self, service: str, number: signal.Signals) -> None:
        process = self.process(service).process
        assert process is not None
        os.kill(process.pid, number)

    async def kill(self, service: str) -> None:
        """At a moment when it has calls that it has not answered. Starts it again, and returns when it is ready."""
        await self.until_in_flight(service)
        self.kept_down.add(service)
        await asyncio.to_thread(self.process(service).kill)
        await asyncio.to_thread(self.process(service).start)
        self.kept_down.discard(service)

    async def until_in_flight(self, service: str) -> None:
        async with asyncio.timeout(IN_FLIGHT_SECONDS):
            while True:
                if self.history.in_flight.get(service):
                    return
                await asyncio.sleep(0)

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Starts again every process that ended, whoever ended it."""
        watch = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            watch.cancel()
            with suppress(asyncio.CancelledError):
                await watch

    async def _watch(self) -> None:
        while True:
            for name, process in self.platform.processes.items():
                running = process.process
                if name not in self.kept_down and (running is None or running.poll() is not None):
                    self.restarts.append(name)
                    process.start(wait=False)
            await asyncio.sleep(WATCH_SECONDS)


@contextmanager
def stack(folder: Path, say: Callable[[str], None]) -> Iterator[Stack]:
    """Servers of a round's own, as new; stopped whatever happens."""
    folder.chmod(0o755)  # PostgreSQL gives up root for another account, which must pass through.
    try:
        found = servers.up(folder, say)
        topics.apply(found.kafka, topics.load(), replication=1, partitions=4)
        credentials = folder / "credentials"
        credentials.mkdir()
        keys.create(credentials)
        yield Stack(found, folder, credentials)
    finally:
        servers.down(folder)


@asynccontextmanager
async def platform(made: Stack, folder: Path) -> AsyncIterator[Platform]:
    """All five services on a database of their own."""
    async with made.database(*SERVICES) as database_url:
        running = await asyncio.to_thread(Platform.start, made.servers, database_url, made.credentials, folder)
        try:
            yield running
        finally:
            await asyncio.to_thread(running.stop)
