"""P10: how long a suspended client can still do something: from the suspension's commit to its copies' commits."""

import asyncio
import os
import random
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

import psutil

from holdspace.moderation.v1.events_pb2 import SEVERITY_DANGER
from holdspace.moderation.v1.service_pb2 import ReportClientRequest, State
from holdspace.scheduling.v1.service_pb2 import EnrolTherapistRequest
from infra import topics
from infra.database import SERVICES
from infra.demo.world import World, fresh, until
from kernel.facts import open_envelope
from kernel.store.postgres import PostgresStore
from services.messaging.domain.conversation import conversation_id
from tests.e2e.platform import Platform, eventually
from tests.load.groups.append import Uncounted
from tests.load.load import in_milliseconds
from tests.load.measuring import Cell, Figure, Goal, Group, Options, Reading
from tests.load.messages import Traffic, paced
from tests.load.stack import Stack

REPORTS = 60
REPORT_PAUSE_SECONDS = (0.1, 0.3)  # spread, so that no timer of the platform is always met at the same phase
LOAD_PER_SECOND = 500
LOAD_PAIRS = 1_000
IDLE_SECONDS = 10.0
COPIES = {
    "messaging": ("gate-standing-{}", "holdspace.kernel.v1.GateCopied"),
    "scheduling": ("gate-standing-{}", "holdspace.kernel.v1.GateCopied"),
    "response_sla": ("client-{}", "holdspace.response_sla.v1.StandingNoted"),
}

AT_REST = "report to enforced in the last of three services"
LOADED = f"{AT_REST}, beside {LOAD_PER_SECOND} messages/s"
IDLE = "five idle services"


@dataclass(frozen=True, slots=True)
class Bench:
    platform: Platform
    world: World
    therapist: str
    store: PostgresStore  # messaging's, for the load

    async def clients(self) -> list[str]:
        """Returns new clients who wrote to the therapist, and moderation knows of it: a report of them scores."""
        clients = [self.world.person(f"client-{fresh()}") for _ in range(REPORTS)]
        await asyncio.gather(*(until(lambda c=client: self.world.write(c, self.therapist)) for client in clients))  # type: ignore[misc]  # mypy does not infer a lambda's default
        await eventually(lambda: self._all_seen(clients))
        return clients

    async def _all_seen(self, clients: Sequence[str]) -> bool:
        sql = "select count(*) from facts where stream = any($1)"
        rows = await self.platform.rows("moderation", sql, [f"client-{client}" for client in clients])
        return bool(rows[0][0] >= len(clients))

    async def report_all(self, clients: Iterable[str]) -> None:
        for client in clients:
            request = ReportClientRequest(
                request_id=fresh(), reporter_id=self.therapist, client_id=client, severity=SEVERITY_DANGER
            )
            told = await self.world.callers.moderation.ReportClient(request)
            if told.client_state != State.STATE_SUSPENDED:
                raise RuntimeError("a report did not suspend its client")
            await asyncio.sleep(random.uniform(*REPORT_PAUSE_SECONDS))

    async def enforced(self, clients: Sequence[str]) -> Reading:
        """Reports the clients; returns the times, by service and of the last of all, from commit to commit."""
        await self.report_all(clients)
        decided = await self._recorded(
            "moderation", "client-{}", "holdspace.moderation.v1.ClientSuspended", clients, len(clients)
        )
        reading: dict[str, float] = {}
        last = dict.fromkeys(clients, 0.0)
        for service, (stream, fact) in COPIES.items():
            copied = await self._recorded(service, stream, fact, clients, len(clients))
            times = {client: (copied[client] - decided[client]).total_seconds() for client in clients}
            last = {client: max(last[client], times[client]) for client in clients}
            reading |= {f"{service}_{name}": value for name, value in in_milliseconds([*times.values()]).items()}
        voided = await self._voided(clients)
        waits = [(voided[client] - decided[client]).total_seconds() for client in clients]
        reading |= {f"waits_voided_{name}": value for name, value in in_milliseconds(waits).items()}
        return {**reading, **in_milliseconds([*last.values()])}

    async def _voided(self, clients: Sequence[str]) -> Mapping[str, datetime]:
        streams = [conversation_id(client, self.therapist) for client in clients]
        voided = await self._recorded(
            "response_sla", "conversation-{}", "holdspace.response_sla.v1.WaitVoided", streams, len(clients)
        )
        return {client: voided[stream] for client, stream in zip(clients, streams, strict=True)}

    async def _recorded(
        self, service: str, stream: str, fact_type: str, names: Sequence[str], count: int
    ) -> Mapping[str, datetime]:
        """Returns when the service's store recorded the type's first fact in each stream, once all are there."""
        by_stream = {stream.format(name): name for name in names}

        async def ask() -> Mapping[str, datetime] | None:
            sql = "select stream, recorded_at, fact from facts where stream = any($1) order by position desc"
            rows = await self.platform.rows(service, sql, list(by_stream))
            found = {by_stream[s]: at for s, at, fact in rows if open_envelope(fact).type == fact_type}
            return found if len(found) == count else None

        return await eventually(ask)

    async def at_rest(self) -> Reading:
        return await self.enforced(await self.clients())

    async def loaded(self) -> Reading:
        clients = await self.clients()
        traffic = Traffic(LOAD_PAIRS)

        async def write() -> None:
            await self.store.append(traffic.next())

        load = asyncio.create_task(paced(write, LOAD_PER_SECOND, 3_600))
        try:
            await asyncio.sleep(1)
            return await self.enforced(clients)
        finally:
            load.cancel()
            await asyncio.gather(load, return_exceptions=True)

    async def idle(self) -> Reading:
        """Returns the processor time of one idle service, in percent of a core."""
        await asyncio.sleep(2)
        processes = [psutil.Process(each.process.pid) for each in self.platform.processes.values() if each.process]
        before = sum(_cpu_seconds(process) for process in processes)
        await asyncio.sleep(IDLE_SECONDS)
        used = sum(_cpu_seconds(process) for process in processes) - before
        return {"percent_of_a_core": 100 * used / IDLE_SECONDS / len(processes)}


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


@asynccontextmanager
async def open_cells(stack: Stack, options: Options) -> AsyncIterator[Sequence[Cell]]:
    os.environ.setdefault("HOLDSPACE_ENVIRONMENT", "local")
    await asyncio.to_thread(topics.apply, stack.servers.kafka, topics.load(), replication=1)
    async with stack.database(*SERVICES) as database_url:
        platform = await asyncio.to_thread(Platform.start, stack.servers, database_url, stack.credentials, stack.folder)
        store = PostgresStore(database_url, "messaging", Uncounted())
        try:
            await store.open()
            async with platform.world() as world:
                therapist = world.person("therapist")
                enrolment = EnrolTherapistRequest(
                    request_id=fresh(), operator_id=world.person("operator"), therapist_id=therapist
                )
                await world.callers.scheduling.EnrolTherapist(enrolment)
                bench = Bench(platform, world, therapist, store)
                await bench.loaded()  # caches are filled, connections open, and Kafka's machine code is compiled
                yield [Cell(IDLE, bench.idle), Cell(AT_REST, bench.at_rest), Cell(LOADED, bench.loaded)]
        finally:
            await store.close()
            await asyncio.to_thread(platform.stop)


def _limits(cell: str) -> list[Goal]:
    return [
        Goal("P10", f"{cell}: p50 in ms", Figure(cell, "p50_ms"), most=15),
        Goal("P10", f"{cell}: p99 in ms", Figure(cell, "p99_ms"), most=100),
    ]


def _shown(cell: str) -> list[Goal]:
    return [
        Goal("P10", f"suspension to voided wait ({cell}): {name}", Figure(cell, f"waits_voided_{name}"))
        for name in ("p50_ms", "p99_ms")
    ]


GROUP = Group(
    "Report to enforced",
    [
        *_limits(AT_REST),
        *_limits(LOADED),
        *_shown(AT_REST),
        Goal("P10", f"{IDLE}: percent of a core each", Figure(IDLE, "percent_of_a_core")),
    ],
    open_cells,
    rounds_max=3,
)
