"""A relay or a consumer in a process of its own, to be killed: `python -m tests.integration.worker <json>`."""

import asyncio
import json
import signal
import sys
from dataclasses import asdict, dataclass
from typing import cast

import asyncpg
import uvloop

from kernel.clock import SystemClock
from kernel.consumers.consumer import Consumer, ConsumerSettings
from kernel.consumers.limits import ConsumerLimits
from kernel.consumers.listing import On
from kernel.consumers.records import ForeignFact
from kernel.relay.relay import Relay, RelaySettings
from tests.integration.published import SERVICE, Vocabulary

APPLIED = """
create table applied (
    n bigserial, fact_id text primary key, consumer text not null, subject text not null, number bigint not null,
    applied_at timestamptz not null default clock_timestamp());
create table broken (subject text primary key);
grant all on applied, broken to messaging_api;
grant usage on sequence applied_n_seq to messaging_api"""
APPLY = """
insert into applied (fact_id, consumer, subject, number) values ($1, $2, $3, $4) on conflict (fact_id) do nothing"""


@dataclass(frozen=True, slots=True)
class Task:
    role: str  # relay or consumer
    database_url: str
    kafka: str
    topic: str
    name: str = ""
    give_way_seconds: float = 0.0

    def text(self) -> str:
        return json.dumps(asdict(self))


class Quiet:
    """Metrics that nobody reads."""

    def __getattr__(self, name: str) -> object:
        return lambda *_, **__: None


class Applier:
    """Writes each fact into a table, once; fails for a subject that is marked as broken."""

    def __init__(self, pool: asyncpg.Pool, consumer: str) -> None:
        self._pool = pool
        self._consumer = consumer

    async def react(self, fact: ForeignFact) -> None:
        subject, number = fact.payload.subject, fact.payload.number  # type: ignore[attr-defined]
        async with self._pool.acquire() as connection:
            if await connection.fetchval("select exists (select from broken where subject = $1)", subject):
                raise ValueError(f"{subject} is broken")
            await connection.execute(APPLY, f"{self._consumer}/{fact.envelope.id}", self._consumer, subject, number)


async def applier(database_url: str, consumer: str) -> Applier:
    session = {"role": f"{SERVICE}_api", "search_path": SERVICE, "synchronous_commit": "off"}
    pool = await asyncpg.create_pool(
        database_url, min_size=0, max_size=8, server_settings=session, target_session_attrs="read-write"
    )
    return Applier(pool, consumer)


def relay(task: Task) -> Relay:
    settings = RelaySettings(task.database_url, task.kafka, SERVICE, "main")
    return Relay(settings, Vocabulary(task.topic).types, cast("object", Quiet()))  # type: ignore[arg-type]


async def consumer(task: Task) -> Consumer:
    vocabulary = Vocabulary(task.topic)
    return Consumer(
        task.name,
        ConsumerSettings(task.database_url, task.kafka, SERVICE, "main"),
        vocabulary.types,
        [On(vocabulary.Noted, (await applier(task.database_url, task.name)).react)],
        [vocabulary.Mentioned],
        Quiet(),  # type: ignore[arg-type]
        SystemClock(),
        limits=ConsumerLimits(give_way_seconds=task.give_way_seconds, catch_up_records_min=1_000_000),
    )


async def main(task: Task) -> None:
    role = relay(task) if task.role == "relay" else await consumer(task)
    loop = asyncio.get_running_loop()
    stops: set[asyncio.Task[None]] = set()
    loop.add_signal_handler(signal.SIGTERM, lambda: stops.add(loop.create_task(role.stop())))
    await role.run()


if __name__ == "__main__":
    uvloop.run(main(Task(**json.loads(sys.argv[1]))))
