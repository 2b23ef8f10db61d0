"""P10: how long a suspended client can still do something: from the suspension's commit to its copies' commits."""

import asyncio
import itertools
import os
import random
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import psutil

from holdspace.moderation.v1.events_pb2 import SEVERITY_DANGER
from holdspace.moderation.v1.service_pb2 import ReportClientRequest, State
from holdspace.scheduling.v1.service_pb2 import EnrolTherapistRequest
from infra import topics
from infra.database import SERVICES
from infra.demo.world import World, fresh, tomorrow, until
from kernel.facts import open_envelope
from kernel.store.postgres import PostgresStore
from services.messaging.domain.conversation import conversation_id
from tests.e2e.platform import Platform, eventually
from tests.load.groups.append import Uncounted
from tests.load.load import in_milliseconds
from tests.load.measuring import Cell, Figure, Goal, Group, Options, Reading
from tests.load.messages import Traffic, paced
from tests.load.stack import Stack

REPORTS = 100
REPORTS_OF_ONE = 5  # more within a day suspend nobody before a person is asked
PREPARED_AT_ONCE = 8
REPORT_PAUSE_SECONDS = (0.05, 0.2)  # spread, so that no timer of the platform is always met at the same phase
LOAD_PER_SECOND = 500
LOAD_PAIRS = 1_000
SETTLED_SECONDS_MAX = 120.0
IDLE_SECONDS = 10.0
SLOT = timedelta(hours=1)
WAIT_VOIDED = "holdspace.response_sla.v1.WaitVoided"
BOOKING_CANCELLED = "holdspace.scheduling.v1.BookingCancelled"
COPIES = {
    "messaging": ("gate-standing-{}", "holdspace.kernel.v1.GateCopied"),
    "scheduling": ("gate-standing-{}", "holdspace.kernel.v1.GateCopied"),
    "response_sla": ("person-{}", "holdspace.response_sla.v1.StandingNoted"),
}

KNOWN = "select count(*) from unnest($1::text[]) asked where exists (select from facts_of(asked))"
RECORDED = """
select f.stream, f.recorded_at, f.fact from unnest($1::text[]) asked, facts_of(asked) f order by f.position desc"""

AT_REST = "report to enforced in the last of three services"
LOADED = f"{AT_REST}, beside {LOAD_PER_SECOND} messages/s"
APART = "a process for each role"
AT_REST_APART = f"{AT_REST}, {APART}"
LOADED_APART = f"{LOADED}, {APART}"
IDLE = "five idle services"


@dataclass(frozen=True, slots=True)
class Suspect:
    """A client to be reported by the therapist, with a message unanswered and a session booked."""

    id: str
    therapist: str
    booking_id: str


@dataclass(frozen=True, slots=True)
class Bench:
    platform: Platform
    world: World
    store: PostgresStore  # messaging's, for the load
    slots: Iterator[datetime]

    async def suspects(self) -> list[Suspect]:
        """Returns new ones, of whom every service knows what a report of them is about."""
        room = asyncio.Semaphore(PREPARED_AT_ONCE)

        therapists = [await self._therapist() for _ in range(REPORTS // REPORTS_OF_ONE)]

        async def prepare(therapist: str) -> Suspect:
            client, slot = self.world.person(f"client-{fresh()}"), next(self.slots)
            async with room:
                # After a start it takes a while until gates are fresh, and a message gets through.
                await until(self.world.write(client, therapist), SETTLED_SECONDS_MAX)
                await self.world.prove_age(client)
                return Suspect(client, therapist, await self.world.book(client, therapist, slot))

        suspects = await asyncio.gather(*(prepare(therapist) for therapist in therapists * REPORTS_OF_ONE))
        await self._known("moderation", [f"client-{suspect.id}" for suspect in suspects])
        await self._known("response_sla", [f"conversation-{self._conversation(suspect)}" for suspect in suspects])
        return suspects

    async def _therapist(self) -> str:
        """Returns one who was enrolled just now and works at any hour."""
        therapist = self.world.person(f"therapist-{fresh()}")
        enrolment = EnrolTherapistRequest(
            request_id=fresh(), operator_id=self.world.person("operator"), therapist_id=therapist
        )
        await self.world.callers.scheduling.EnrolTherapist(enrolment)
        await self.world.open_all_week(therapist)
        return therapist

    async def _known(self, service: str, streams: Sequence[str]) -> None:
        """Waits until the service has facts in all of these streams: after a start its consumers come one by one."""

        async def ask() -> bool:
            rows = await self.platform.rows(service, KNOWN, streams)
            return bool(rows[0][0] == len(streams))

        await eventually(ask, SETTLED_SECONDS_MAX)

    def _conversation(self, suspect: Suspect) -> str:
        return conversation_id(suspect.id, suspect.therapist)

    async def report_all(self, suspects: Iterable[Suspect]) -> None:
        for suspect in suspects:
            request = ReportClientRequest(
                request_id=fresh(), reporter_id=suspect.therapist, client_id=suspect.id, severity=SEVERITY_DANGER
            )
            told = await self.world.callers.moderation.ReportClient(request)
            if told.client_state != State.STATE_SUSPENDED:
                raise RuntimeError("a report did not suspend its client")
            await asyncio.sleep(random.uniform(*REPORT_PAUSE_SECONDS))

    async def enforced(self, suspects: Sequence[Suspect]) -> Reading:
        """Reports them; returns the times from the suspension's commit to others: by service, of the last of all, of
        voided waits and of cancelled bookings.
        """
        await self.report_all(suspects)
        clients = [suspect.id for suspect in suspects]
        decided = await self._recorded("moderation", "client-{}", "holdspace.moderation.v1.ClientSuspended", clients)
        copied = [await self._recorded(service, *copy, clients) for service, copy in COPIES.items()]
        conversations = [self._conversation(suspect) for suspect in suspects]
        bookings = [suspect.booking_id for suspect in suspects]
        voided = await self._recorded("response_sla", "conversation-{}", WAIT_VOIDED, conversations)
        cancelled = await self._recorded("scheduling", "booking-{}", BOOKING_CANCELLED, bookings)

        def told(name: str, times: Iterable[datetime]) -> Mapping[str, float]:
            seconds = [(at - since).total_seconds() for at, since in zip(times, decided, strict=True)]
            return {f"{name}{figure}": value for figure, value in in_milliseconds(seconds).items()}

        reading = dict(told("", map(max, *copied)))
        for service, times in zip(COPIES, copied, strict=True):
            reading |= told(f"{service}_", times)
        return {**reading, **told("waits_voided_", voided), **told("bookings_cancelled_", cancelled)}

    async def _recorded(self, service: str, stream: str, fact_type: str, names: Sequence[str]) -> list[datetime]:
        """Returns when the service's store recorded the type's first fact in the stream of each, once all are there."""
        streams = [stream.format(name) for name in names]

        async def ask() -> list[datetime] | None:
            rows = await self.platform.rows(service, RECORDED, streams)
            found = {name: at for name, at, fact in rows if open_envelope(fact).type == fact_type}
            return [found[name] for name in streams] if len(found) == len(streams) else None

        return await eventually(ask, SETTLED_SECONDS_MAX)

    async def at_rest(self) -> Reading:
        return await self.enforced(await self.suspects())

    async def loaded(self) -> Reading:
        suspects = await self.suspects()
        traffic = Traffic(LOAD_PAIRS)

        async def write() -> None:
            await self.store.append(traffic.next())

        load = asyncio.create_task(paced(write, LOAD_PER_SECOND, 3_600))
        try:
            await asyncio.sleep(1)
            return await self.enforced(suspects)
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


@dataclass(slots=True)
class Layouts:
    """One platform on one database, its roles together or apart, as the next cell wants them."""

    stack: Stack
    database_url: str
    store: PostgresStore
    cell: str = field(default_factory=lambda: f"bench{secrets.token_hex(4)}")
    slots: Iterator[datetime] = field(default_factory=lambda: (tomorrow(0) + n * SLOT for n in itertools.count()))
    running: Platform | None = None
    is_apart: bool = False

    @asynccontextmanager
    async def bench(self, *, apart: bool) -> AsyncIterator[Bench]:
        if self.running is None or self.is_apart is not apart:
            await self.stop()
            where, stack = self.stack.servers, self.stack
            self.running = await asyncio.to_thread(
                Platform.start, where, self.database_url, stack.credentials, stack.folder, cell=self.cell, apart=apart
            )
            self.is_apart = apart
        async with self.running.world() as world:
            yield Bench(self.running, world, self.store, self.slots)

    async def stop(self) -> None:
        if self.running is not None:
            await asyncio.to_thread(self.running.stop)

    def cell_of(self, name: str, measure: Callable[[Bench], Awaitable[Reading]], *, apart: bool) -> Cell:
        async def run() -> Reading:
            began = self.running is None or self.is_apart is not apart
            async with self.bench(apart=apart) as bench:
                if began:  # Caches are filled, connections open, and Kafka's machine code is compiled.
                    await bench.loaded()
                return await measure(bench)

        return Cell(name, run)


@asynccontextmanager
async def open_cells(stack: Stack, options: Options) -> AsyncIterator[Sequence[Cell]]:
    os.environ.setdefault("HOLDSPACE_ENVIRONMENT", "local")
    await asyncio.to_thread(topics.apply, stack.servers.kafka, topics.load(), replication=1)
    async with stack.database(*SERVICES) as database_url:
        store = PostgresStore(database_url, "messaging", Uncounted())
        layouts = Layouts(stack, database_url, store)
        try:
            await store.open()
            yield [
                layouts.cell_of(IDLE, Bench.idle, apart=False),
                layouts.cell_of(AT_REST, Bench.at_rest, apart=False),
                layouts.cell_of(LOADED, Bench.loaded, apart=False),
                layouts.cell_of(AT_REST_APART, Bench.at_rest, apart=True),
                layouts.cell_of(LOADED_APART, Bench.loaded, apart=True),
            ]
        finally:
            await store.close()
            await layouts.stop()


def _limits(cell: str) -> list[Goal]:
    return [
        Goal("P10", f"{cell}: p50 in ms", Figure(cell, "p50_ms"), most=15),
        Goal("P10", f"{cell}: p99 in ms", Figure(cell, "p99_ms"), most=100),
    ]


def _shown(cell: str) -> list[Goal]:
    outcomes = {"voided wait": "waits_voided", "cancelled booking": "bookings_cancelled"}
    return [
        Goal("P10", f"{cell}: suspension to {outcome}: {name}", Figure(cell, f"{figure}_{name}"))
        for outcome, figure in outcomes.items()
        for name in ("p50_ms", "p99_ms")
    ]


MEASURED = (AT_REST, LOADED, AT_REST_APART, LOADED_APART)

GROUP = Group(
    "Report to enforced",
    [
        *(goal for cell in MEASURED for goal in _limits(cell)),
        *(goal for cell in MEASURED for goal in _shown(cell)),
        Goal("P10", f"{IDLE}: percent of a core each", Figure(IDLE, "percent_of_a_core")),
    ],
    open_cells,
    rounds_max=3,
)
