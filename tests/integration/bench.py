"""A fresh database, a fresh topic, and processes on them; and a consumer's handler without Faust around it."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import asyncpg

from infra.local.servers import Servers
from kernel.consumers import checkpoints, same_log
from kernel.consumers.fence import Fence
from kernel.consumers.handler import BatchHandler
from kernel.consumers.limits import ConsumerLimits
from kernel.consumers.listing import Listing, On, ReactToMany
from kernel.consumers.reader import LogReader
from kernel.consumers.records import ForeignFact, Partition, Record
from tests.integration.published import PARTITIONS, SERVICE, Vocabulary, create_topic, new_topic_name, owner
from tests.integration.worker import APPLIED, Quiet, Task

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Process:
    process: subprocess.Popen[bytes]
    log: Path

    def signal(self, how: signal.Signals) -> None:
        self.process.send_signal(how)

    async def ended(self, within: float = 15.0) -> int:
        """Returns the exit code."""
        return await asyncio.to_thread(self.process.wait, within)

    def lines(self, about: str) -> list[str]:
        return [line for line in self.log.read_text().splitlines() if about in line]


@dataclass
class Bench:
    database_url: str
    kafka: str
    folder: Path
    vocabulary: Vocabulary
    connection: asyncpg.Connection
    processes: list[Process] = field(default_factory=list)

    @property
    def topic(self) -> str:
        return self.vocabulary.topic

    @property
    def partitions(self) -> list[Partition]:
        return [Partition(self.topic, number) for number in range(PARTITIONS)]

    def start(self, role: str, name: str = "", *, give_way_seconds: float = 0.0) -> Process:
        task = Task(role, self.database_url, self.kafka, self.topic, name, give_way_seconds)
        log = self.folder / f"{len(self.processes)}-{role}.log"
        environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'proto' / 'gen'}"}
        with log.open("wb") as output:
            command = [sys.executable, "-m", "tests.integration.worker", task.text()]
            process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT)
        self.processes.append(Process(process, log))
        return self.processes[-1]

    async def applied(self, consumer: str) -> dict[str, list[int]]:
        """Returns the numbers of each subject in the order they took effect."""
        found: dict[str, list[int]] = {}
        for row in await self.connection.fetch(
            "select subject, number from applied where consumer = $1 order by n", consumer
        ):
            found.setdefault(row["subject"], []).append(row["number"])
        return found

    async def applied_count(self, consumer: str) -> int:
        return int(await self.connection.fetchval("select count(*) from applied where consumer = $1", consumer))

    async def records(self) -> list[Record]:
        """Everything on the topic, partition by partition."""
        reader, found = LogReader(self.kafka), []
        for partition, end in (await reader.ends(self.partitions)).items():
            async for page in reader.pages(partition, 0, end):
                found += page
        return found


@asynccontextmanager
async def bench(servers: Servers, database_url: str, folder: Path) -> AsyncIterator[Bench]:
    vocabulary = Vocabulary(new_topic_name())
    await create_topic(servers.kafka, vocabulary.topic)
    connection = await owner(database_url)
    await connection.execute(APPLIED)
    made = Bench(database_url, servers.kafka, folder, vocabulary, connection)
    try:
        yield made
    finally:
        for each in made.processes:
            if each.process.poll() is None:
                each.process.kill()
                each.process.wait(5)
        await connection.close()


@dataclass
class Seen:
    """What a reaction was called with, in order, by subject."""

    numbers: dict[str, list[int]] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)

    async def react(self, fact: ForeignFact) -> None:
        subject, number = fact.payload.subject, fact.payload.number  # type: ignore[attr-defined]
        if subject in self.broken:
            raise ValueError(subject)
        self.numbers.setdefault(subject, []).append(number)


async def handler(
    made: Bench, name: str, seen: Seen, limits: ConsumerLimits | None = None, many: ReactToMany | None = None
) -> BatchHandler:
    """The consumer's own handler, checkpoints and fence, fed by the test."""
    vocabulary = made.vocabulary
    listing = Listing(vocabulary.types, [On(vocabulary.Noted, seen.react, react_to_many=many)], [vocabulary.Mentioned])
    fence, reader = Fence(made.database_url, SERVICE, name), LogReader(made.kafka)
    connection = await fence.connection()
    await same_log.know(connection, name, await reader.topic_ids([made.topic]))
    await checkpoints.create(connection, name, dict.fromkeys(made.partitions, 0))
    since = await checkpoints.list_types(connection, name, listing, datetime.now(UTC))
    metrics = Quiet()
    return BatchHandler(
        name,
        listing,
        since,
        fence,
        reader,
        metrics,  # type: ignore[arg-type]
        limits or ConsumerLimits(),
        lambda: 0.5,
    )


async def until(condition: Callable[[], Awaitable[bool]], within: float) -> float:
    """Returns the seconds it took; fails when the condition does not come true in time."""
    began = time.monotonic()
    while not await condition():
        assert time.monotonic() - began < within, f"not within {within} s"
        await asyncio.sleep(0.05)
    return time.monotonic() - began


async def until_at_least(ask: Callable[[], Awaitable[int]], least: int, within: float) -> float:
    async def enough() -> bool:
        return await ask() >= least

    return await until(enough, within)
