"""P12: importing a history until the figures are settled, beside the slowest of its stages alone."""

import asyncio
import os
import secrets
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import grpc
from kafka.admin import KafkaAdminClient

from holdspace.response_sla.v1.service_pb2 import FigureGroup, ListFiguresRequest
from holdspace.response_sla.v1.service_pb2_grpc import ResponseSlaServiceStub
from infra import topics
from infra.cli.waiting import until_in_figures
from infra.local import keys
from kernel.grpc.revision import Revision
from tests.load import trace
from tests.load.measuring import Cell, Figure, Goal, Group, Options, Reading
from tests.load.stack import Stack
from tests.reference import straight_line
from tests.running import ServiceProcess

SOURCE = "bench"
RIGHTS = ("messaging.import", "response_sla.read", "response_sla.read_all", "act_for")
PARTITIONS = 8
POLL_SECONDS = 0.05
IMPORT_SECONDS_MAX = 600.0

STAGES = "the stages of an import, one after another"
WHOLE = "import until the figures are settled"

HEAD = "select coalesce(max(position), 0) from messaging.facts"
WATERMARKS = "select count(distinct consumer) from response_sla.consumer_watermarks"
RELAYED = "select position from messaging.relay_checkpoint"
CONSUMED = "select coalesce(sum(next_offset), 0) from response_sla.consumer_checkpoints"


@dataclass(slots=True)
class Platform:
    """New topics, a new database, and the services that are started on them."""

    stack: Stack
    database_url: str
    connection: asyncpg.Connection
    file: Path
    cell: str = field(default_factory=lambda: f"bench{secrets.token_hex(4)}")
    processes: AsyncExitStack = field(default_factory=AsyncExitStack)

    def start(self, service: str, *roles: str) -> ServiceProcess:
        """Returns once the api, if it is among the roles, takes calls."""
        stack = self.stack
        process = ServiceProcess(
            service, stack.servers, self.database_url, stack.credentials, stack.folder, self.cell, roles
        )
        self.processes.enter_context(running(process))
        return process

    async def until(self, sql: str, least: int) -> None:
        async with asyncio.timeout(IMPORT_SECONDS_MAX):
            while await self.connection.fetchval(sql) < least:  # noqa: ASYNC110 - told by rows
                await asyncio.sleep(POLL_SECONDS)

    async def holdspace_import(self, messaging: ServiceProcess, *more: str, **variables: str) -> float:
        """Runs the operators' command. Returns how many seconds it took."""
        token = keys.mint(self.stack.credentials, subject="operator", kind="service", scope=RIGHTS)
        variables |= {"HOLDSPACE_MESSAGING": messaging.target, "HOLDSPACE_TOKEN": token}
        began = time.perf_counter()
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "infra.cli", "import", str(self.file), "--source", SOURCE, *more),
            env={**os.environ, **variables},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            async with asyncio.timeout(IMPORT_SECONDS_MAX):
                told, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode:
            raise RuntimeError(f"the import failed: {told.decode()[-1000:]}")
        return time.perf_counter() - began


@contextmanager
def running(process: ServiceProcess) -> Iterator[None]:
    try:
        process.start()
        yield
    finally:
        process.kill()  # nothing it does after this is measured


@asynccontextmanager
async def platform(stack: Stack, file: Path) -> AsyncIterator[Platform]:
    await asyncio.to_thread(renew_topics, stack.servers.kafka)
    async with stack.database("messaging", "response_sla") as database_url:
        connection = await asyncpg.connect(
            stack.superuser_url.rpartition("/")[0] + "/" + database_url.rpartition("/")[2]
        )
        made = Platform(stack, database_url, connection, file)
        try:
            async with made.processes:
                yield made
        finally:
            await connection.close()


def renew_topics(kafka: str) -> None:
    """A consumer of a new database begins at the beginning: it must not meet what an earlier round left."""
    declared = topics.load()
    admin = KafkaAdminClient(bootstrap_servers=kafka)
    try:
        ours = [name for name in admin.list_topics() if name.startswith(topics.PREFIX)]
        if ours:
            admin.delete_topics(ours)
        while any(name.startswith(topics.PREFIX) for name in admin.list_topics()):
            time.sleep(POLL_SECONDS)
    finally:
        admin.close()
    topics.apply(kafka, declared, replication=1, partitions=PARTITIONS)


class Importing:
    """The import as a whole, and its stages one after another, each on what the one before has left."""

    def __init__(self, stack: Stack, file: Path) -> None:
        self._stack = stack
        self._file = file
        lines = straight_line.read(file)
        self._lines = len(lines)
        self._expected = straight_line.figures(
            [(f"{SOURCE}-{one}", f"{SOURCE}-{other}", at) for one, other, at in lines]
        )

    async def stages(self) -> Reading:
        async with platform(self._stack, self._file) as made:
            messaging = made.start("messaging", "api")
            append = await made.holdspace_import(messaging)
            messaging.kill()
            relay = await self._relay(made)
            consume = await self._consume(made)
        slowest = max(append, relay, consume)
        rate = {"lines_per_second": self._lines / append}
        return {"append_seconds": append, "relay_seconds": relay, "consume_seconds": consume, "seconds": slowest} | rate

    async def _relay(self, made: Platform) -> float:
        """From the first fact relayed to the last."""
        head = await made.connection.fetchval(HEAD)
        made.start("messaging", "relay")
        await made.until(RELAYED, 1)
        began = time.perf_counter()
        await made.until(RELAYED, head)
        return time.perf_counter() - began

    async def _consume(self, made: Platform) -> float:
        """From the first fact taken until the figures are settled. The relay has nothing left to do but to say so."""
        head = await made.connection.fetchval(HEAD)
        api = made.start("response_sla", "api", "projections")
        made.start("response_sla", "reactions")
        await made.until(CONSUMED, 1)
        began = time.perf_counter()
        async with api.channel(*RIGHTS) as channel:
            await until_in_figures(ResponseSlaServiceStub(channel), [Revision(f"messaging/{made.cell}/1", head)])
        took = time.perf_counter() - began
        await self._check(api)
        return took

    async def whole(self) -> Reading:
        """Every role in a process of its own, as in production, but those that have next to nothing to do."""
        async with platform(self._stack, self._file) as made:
            messaging = made.start("messaging", "api")
            made.start("messaging", "relay")
            made.start("messaging", "reactions", "projections")
            response_sla = made.start("response_sla", "api", "projections")
            made.start("response_sla", "reactions")
            await made.until(WATERMARKS, 1)  # Everything has started.
            seconds = await made.holdspace_import(messaging, "--wait", HOLDSPACE_RESPONSE_SLA=response_sla.target)
            await self._check(response_sla)
        return {"seconds": seconds, "lines_per_second": self._lines / seconds}

    async def _check(self, response_sla: ServiceProcess) -> None:
        """What is fast must also be right."""
        async with response_sla.channel(*RIGHTS) as channel:
            assert await all_figures(channel) == self._expected, "the figures are not those of the straight line"


async def all_figures(channel: grpc.aio.Channel) -> dict[str, dict[str, object]]:
    """Returns every therapist's figures in the words of the straight line."""
    stub, request = ResponseSlaServiceStub(channel), ListFiguresRequest(page_size=100)
    found: dict[str, dict[str, object]] = {}
    while True:
        answer = await stub.ListFigures(request)
        for each in answer.therapists:
            groups = {name: _summary(getattr(each, name)) for name in ("first", "next", "all")}
            found[each.therapist_id] = {**groups, "open": each.all.open}
        if not answer.next_page_token:
            return found
        request.page_token = answer.next_page_token


def _summary(group: FigureGroup) -> dict[str, int | None]:
    return {
        "count": group.count,
        "median_ms": group.median_ms if group.HasField("median_ms") else None,
        "p90_ms": group.p90_ms if group.HasField("p90_ms") else None,
    }


@asynccontextmanager
async def open_cells(stack: Stack, _: Options) -> AsyncIterator[Sequence[Cell]]:
    importing = Importing(stack, await asyncio.to_thread(trace.path_of, stack.folder))
    yield [Cell(STAGES, importing.stages), Cell(WHOLE, importing.whole)]


def _stage(says: str, figure: str) -> Goal:
    return Goal("P12", says, Figure(STAGES, figure))


GROUP = Group(
    "Import",
    [
        Goal(
            "P12",
            f"{WHOLE}: seconds, of the slowest stage",
            Figure(WHOLE, "seconds"),
            Figure(STAGES, "seconds"),
            most=2,
        ),
        Goal("P12", f"{WHOLE}: seconds", Figure(WHOLE, "seconds")),
        _stage("import alone: seconds", "append_seconds"),
        _stage("import alone: lines a second", "lines_per_second"),
        _stage("relay alone: seconds", "relay_seconds"),
        _stage("response-SLA alone: seconds", "consume_seconds"),
    ],
    open_cells,
    rounds_max=3,
)
