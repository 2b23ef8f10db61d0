"""A failover as its survivors see it: sessions end, new ones are read-only for a while. Whatever lives long returns."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from prometheus_client import CollectorRegistry

from holdspace.kernel.v1.gate_pb2 import GateCopied
from infra.database import prepare
from infra.local.servers import Servers
from kernel.background import Following, Projecting
from kernel.errors import StoreUnavailable
from kernel.freshness import LaneWatch
from kernel.lease import Lease, LeaseLost
from kernel.metrics import Metrics
from kernel.process import Stop, Supervisor
from kernel.queries import Queries
from kernel.rebuild import ensure
from kernel.relay.relay import Relay, RelaySettings
from kernel.store.connections import connect
from kernel.store.interface import Append, Outcome, Request
from kernel.store.postgres import PostgresStore
from services.messaging.projections import READ_MODEL
from services.messaging.wiring import MESSAGING
from tests.integration.bench import Bench, bench, until
from tests.integration.published import ORIGIN, SERVICE, Vocabulary, Written, publish, written
from tests.integration.worker import Task, consumer
from tests.unit.kernel.diary import settings

ANOTHER = f"{SERVICE}/other/1"
SPELL_SECONDS = 3.0
BACK_SECONDS = 15.0
BEGAN = datetime(2026, 3, 2, 9, tzinfo=UTC)
END_SESSIONS = """
select pg_terminate_backend(pid) from pg_stat_activity
where datname = current_database() and backend_type = 'client backend' and pid <> pg_backend_pid()"""
WATERMARK = "select max(reached_at) from consumer_watermarks where consumer = 'c'"


@asynccontextmanager
async def spell(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """The block runs once the spell is over, and is given a connection that it did not touch."""
    name = database_url.rsplit("/", 1)[1]
    operator = await asyncpg.connect(database_url, server_settings={"search_path": f"{SERVICE}, public"})
    try:
        await operator.execute(f"alter database {name} set default_transaction_read_only = on")
        await operator.execute(END_SESSIONS)
        await asyncio.sleep(SPELL_SECONDS)  # as long as it takes them all to connect again, if they may
        await operator.execute("set default_transaction_read_only = off")
        await operator.execute(f"alter database {name} reset default_transaction_read_only")
        await operator.execute(f"set role {SERVICE}_owner")
        yield operator
    finally:
        await operator.close()


def notes_of_another_cell(vocabulary: Vocabulary, count: int) -> list[Written]:
    return written([(f"s{number}", fact) for number, fact in enumerate(vocabulary.notes(count, count))], source=ANOTHER)


class Writing:
    """Work of the reactions that writes by the store's pool, as checkpoints and timers do."""

    def __init__(self, store: PostgresStore) -> None:
        self._store = store
        self.written = 0

    async def step(self) -> bool:
        await self._store.save_checkpoint("spell", self.written)
        self.written += 1
        return False


@dataclass
class Running:
    """Everything of a service that connects once and lives long, kept by its supervisor."""

    made: Bench
    store: PostgresStore
    work: Writing
    queries: Queries
    lanes: LaneWatch

    async def lane_is_fresh(self) -> bool:
        return (await self.lanes.look()).is_fresh

    async def append(self) -> int:
        """Appends a fact. Repeats as a caller would; returns its position."""
        fact = MESSAGING.own_facts.seal(GateCopied(gate="g", subject="s"), secrets.token_hex(8), BEGAN, ORIGIN)
        async with asyncio.timeout(BACK_SECONDS):
            while True:
                with suppress(StoreUnavailable):
                    told = await self.store.append(
                        Append(f"s-{secrets.token_hex(4)}", 0, [fact], Request(secrets.token_bytes(32), b""))
                    )
                    assert told.outcome is Outcome.APPENDED
                    return told.position
                await asyncio.sleep(0.05)


@pytest.fixture
async def running(servers: Servers, database_url: str, tmp_path: Path) -> AsyncIterator[Running]:
    await prepare(database_url)  # What a role may do in a database does not come with its template.
    types = MESSAGING.own_facts
    await ensure(database_url, SERVICE, READ_MODEL, types)
    metrics, stop = Metrics(CollectorRegistry()), Stop(settings("none"))
    store = PostgresStore(database_url, SERVICE, metrics)
    await store.open()
    queries = Queries(database_url, SERVICE, MESSAGING.queries)
    await queries.open()
    async with bench(servers, database_url, tmp_path) as made:
        stale_after = timedelta(seconds=5)
        lanes = LaneWatch(database_url, SERVICE, "c", metrics, stale_after=stale_after)
        work = Writing(store)
        known: Any = [*made.vocabulary.types, *(each for each in types if each.message is GateCopied)]
        roles = [
            Following(database_url, SERVICE, store, lambda: [work]),
            Projecting(database_url, SERVICE, READ_MODEL, types, metrics),
            Relay(RelaySettings(database_url, servers.kafka, SERVICE, "main"), known, metrics),
            await consumer(Task("consumer", database_url, servers.kafka, made.topic, "c")),
        ]
        supervised = asyncio.create_task(Supervisor(metrics, stop, restart=True).run(roles))
        try:
            yield Running(made, store, work, queries, lanes)
        finally:
            stop.asked.set()
            await asyncio.gather(supervised, return_exceptions=True)
            stop.exit_hard_after(3600)
            await queries.close()
            await store.close()


async def test_whatever_lives_long_works_again_after_the_database_was_read_only(running: Running) -> None:
    it = running
    await until(it.lane_is_fresh, 30)  # The relay and the consumer with its watermarks are at work.
    async with spell(it.made.database_url) as operator:
        ended, written = datetime.now(UTC), it.work.written
        position = await it.append()
        await publish(it.made.kafka, it.made.topic, notes_of_another_cell(it.made.vocabulary, 5))

        turn = asyncio.Lock()

        async def ask(sql: str) -> Any:
            async with turn:
                return await operator.fetchval(sql)

        async def reactions_write() -> bool:
            return it.work.written > written + 2

        async def relay_is_there() -> bool:
            return int(await ask("select position from relay_checkpoint")) >= position

        async def consumer_applies() -> bool:
            return int(await ask("select count(*) from applied where consumer = 'c'")) >= 5

        async def watermarks_are_saved() -> bool:
            return await ask(WATERMARK) > ended + timedelta(seconds=1)

        async def read_model_is_there() -> bool:
            with suppress(StoreUnavailable):
                return await it.queries.position() >= position
            return False

        parts = (reactions_write, relay_is_there, consumer_applies, watermarks_are_saved, read_model_is_there)
        waits = [until(back, BACK_SECONDS) for back in (*parts, it.lane_is_fresh)]
        came = await asyncio.gather(*waits, return_exceptions=True)
        names = [part.__name__ for part in (*parts, it.lane_is_fresh)]
        assert {name: end for name, end in zip(names, came, strict=True) if isinstance(end, BaseException)} == {}


async def test_the_stores_pool_keeps_no_session_that_became_read_only(database_url: str) -> None:
    """As when a setting of the server changes under sessions that are open."""
    store = PostgresStore(database_url, SERVICE, Metrics(CollectorRegistry()), readers_max=1)
    await store.open()
    try:
        await store._fetch("select set_config('default_transaction_read_only', 'on', false)")
        with pytest.raises(StoreUnavailable):
            await store.save_checkpoint("c", 1)
        await store.save_checkpoint("c", 1)
        assert await store.checkpoint("c") == 1
    finally:
        await store.close()


async def test_a_lease_whose_session_became_read_only_is_lost(database_url: str) -> None:
    connection = await connect(database_url, role=f"{SERVICE}_api", search_path=SERVICE)
    try:
        held = Lease(connection)
        await held.renew()
        await connection.execute("set default_transaction_read_only = on")
        with pytest.raises(LeaseLost):
            await held.renew()
    finally:
        await connection.close()


async def test_nobody_is_given_a_session_that_cannot_write(database_url: str) -> None:
    name = database_url.rsplit("/", 1)[1]
    operator = await asyncpg.connect(database_url)
    await operator.execute(f"alter database {name} set default_transaction_read_only = on")
    await operator.close()
    with pytest.raises(asyncpg.TargetServerAttributeNotMatched):
        await connect(database_url, role=f"{SERVICE}_api", search_path=SERVICE)
