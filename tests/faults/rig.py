"""What a fault may break: the servers and processes of one round, watched over as an orchestrator would."""

import asyncio
import os
import random
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from infra import topics
from infra.database import SERVICES
from infra.local import keys, servers
from infra.local.servers import Servers
from infra.local.stack_error import StackError
from tests.e2e.platform import Platform
from tests.faults.evidence import envelope_of
from tests.faults.history import History
from tests.load.stack import Stack
from tests.running import ServiceProcess

WATCH_SECONDS = 0.2
IN_FLIGHT_SECONDS = 10.0


@dataclass(slots=True)
class Rig:
    """`servers_folder`: where the servers live. `second`: another instance of everything. `foreign`: records that a
    fault wrote, by topic, partition and offset. `restored`: the last position of a backup that a service was given
    back. `republished`: services whose relay was told to publish everything again. `actions`: what operators
    did. `kept_down`: processes that a fault wants to stay as they are.
    """

    platform: Platform
    servers: Servers
    servers_folder: Path
    history: History
    chance: random.Random
    prefix: str
    second: Platform | None = None
    foreign: set[tuple[str, int, int]] = field(default_factory=set)
    restored: dict[str, int] = field(default_factory=dict)
    republished: set[str] = field(default_factory=set)
    actions: list[str] = field(default_factory=list)
    kept_down: set[int] = field(default_factory=set)
    restarts: list[str] = field(default_factory=list)

    @property
    def platforms(self) -> list[Platform]:
        return [self.platform, *([self.second] if self.second else [])]

    def process(self, service: str) -> ServiceProcess:
        return self.platform.processes[service]

    def signal(self, service: str, number: signal.Signals) -> None:
        process = self.process(service).process
        assert process is not None
        os.kill(process.pid, number)

    async def kill(self, service: str, platform: Platform | None = None) -> None:
        """At a moment when it has calls that it has not answered. Starts it again, and returns when it is ready."""
        process = (platform or self.platform).processes[service]
        await self.until_in_flight(service)
        with self._kept(process):
            await asyncio.to_thread(process.kill)
            await asyncio.to_thread(process.start)

    async def restart(self, service: str) -> None:
        """Tells it to stop, as an orchestrator would, and starts it again."""
        async with self.down(service):
            pass

    @asynccontextmanager
    async def down(self, service: str) -> AsyncIterator[None]:
        """Stops a service, and starts it at the end."""
        process = self.process(service)
        with self._kept(process):
            self.history.stops.append((time.time(), service))
            await asyncio.to_thread(process.stop)
            yield
            await asyncio.to_thread(process.start)

    @contextmanager
    def _kept(self, process: ServiceProcess) -> Iterator[None]:
        self.kept_down.add(process.port)
        try:
            yield
        finally:
            self.kept_down.discard(process.port)

    async def forget(self, service: str, head: int) -> None:
        """Notes that what a service stored after a position will be lost, and whose requests that was."""
        self.restored[service] = head
        rows = await self.platform.rows(service, "select fact from facts where position > $1", head)
        self.history.lost |= {envelope_of(row[0]).cause for row in rows}

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
            for process in (each for platform in self.platforms for each in platform.processes.values()):
                running = process.process
                if process.port not in self.kept_down and (running is None or running.poll() is not None):
                    self.restarts.append(f"{process.name}, which had ended with {running and running.returncode}")
                    process.start(wait=False)
            await asyncio.sleep(WATCH_SECONDS)


@contextmanager
def stack(folder: Path) -> Iterator[Stack]:
    """Servers of a round's own, as new; stopped whatever happens."""
    try:
        found = servers.up(folder, lambda line: None)
        topics.apply(found.kafka, topics.load(), replication=1, partitions=4)
        credentials = folder / "credentials"
        credentials.mkdir()
        keys.create(credentials)
        yield Stack(found, folder, credentials)
    finally:
        servers.down(folder)


@asynccontextmanager
async def platforms(made: Stack, folder: Path, count: int) -> AsyncIterator[list[Platform]]:
    """So many instances of all five services, on one database of their own."""
    async with made.database(*SERVICES) as database_url:
        running: list[Platform] = []
        try:
            for _ in range(count):
                cell = running[0].processes["messaging"].cell if running else ""
                start = partial(Platform.start, made.servers, database_url, made.credentials, folder, cell=cell)
                running.append(await asyncio.to_thread(start))
            yield running
        finally:
            for each in running:
                await asyncio.to_thread(each.stop)


@contextmanager
def disk(folder: Path, size_bytes: int) -> Iterator[None]:
    """Makes the folder, for a size above 0 as a file system of its own in memory. Raises StackError.

    A file system that is full is what a full disk is to a server; a limit of file sizes or of a tablespace is not.
    """
    folder.mkdir(mode=0o755)
    if not size_bytes:
        yield
        return
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size_bytes},mode=755", "holdspace-faults", str(folder)],
        capture_output=True,
        check=False,
        text=True,
    )
    if mounted.returncode:
        raise StackError(f"a small file system takes the right to mount: {mounted.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
