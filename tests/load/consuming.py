"""A consumer in a process of its own, to be measured: `python -m tests.load.consuming <json>`.

It takes every record of a topic once, then prints the seconds from the first batch to the end of the last, and ends.
"""

import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import NoReturn

import faust
import uvloop
from google.protobuf.message import Message

from kernel.clock import SystemClock
from kernel.commands import CommandPath
from kernel.consumers import faust_app
from kernel.consumers.consumer import Consumer, ConsumerSettings
from kernel.consumers.limits import ConsumerLimits
from kernel.consumers.listing import On
from kernel.consumers.records import ForeignFact
from kernel.decision import Decision
from kernel.folded import Fold
from kernel.foreign import OnForeign, bind
from kernel.freshness import NoLane
from kernel.garbage import keep_what_is_there
from kernel.ids import RandomIds
from kernel.reactions import Effects
from kernel.routes import Route
from kernel.store.connections import connect
from kernel.store.postgres import PostgresStore
from tests.integration.published import SERVICE, Vocabulary
from tests.integration.worker import Quiet

TABLE = """
create table taken (
    consumer text, position bigint, subject text not null, number bigint not null, primary key (consumer, position));
grant select, insert on taken to messaging_api"""
TAKE = "insert into taken select $1, * from unnest($2::bigint[], $3::text[], $4::bigint[]) on conflict do nothing"
BATCH_WITHIN_SECONDS = 0.005  # shorter, and a batch has only a few records
NEVER = 1_000_000_000

NOTHING = "nothing"  # Faust alone
ROWS = "rows"  # a row for each fact
APPENDS = "appends"  # a command for each fact
JOINED_APPENDS = "joined appends"  # a command for each key of a batch


@dataclass(frozen=True, slots=True)
class Task:
    effect: str
    catch_up: bool  # in bulk, without Faust
    name: str  # of the consumer: a new one starts at the beginning
    database_url: str
    kafka: str
    topic: str
    records: int

    def text(self) -> str:
        return json.dumps(asdict(self))


class Counting(Quiet):
    """Counts what was taken, and ends the process with the last of it."""

    def __init__(self, records: int) -> None:
        self._left = records
        self._began = 0.0

    def begin(self) -> None:
        self._began = self._began or time.perf_counter()

    def handled(self, _: str, facts: int) -> None:
        self._left -= facts
        if self._left <= 0:
            print(json.dumps({"seconds": time.perf_counter() - self._began}), flush=True)
            os._exit(0)


@dataclass(frozen=True, slots=True)
class Note:
    consumer: str
    subject: str
    numbers: Sequence[int]
    now: datetime


def on_subject(command: Note) -> str:
    return f"{command.consumer}-{command.subject}"


class Notes:
    """Keeps every number of a subject once, in its stream: the state is the highest."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._Kept = vocabulary.Kept
        self.routes = [Route(Note, on_subject, Fold(-1, self.evolve), self.decide)]

    def decide(self, command: Note, highest: int) -> Decision:
        new = [number for number in command.numbers if number > highest]
        return Decision([self._Kept(subject=command.subject, number=number) for number in new])

    @staticmethod
    def evolve(highest: int, fact: Message, _: datetime) -> int:
        number: int = fact.number  # type: ignore[attr-defined]
        return max(highest, number)


def note(consumer: str, fact: ForeignFact, now: datetime) -> Sequence[Note]:
    return [Note(consumer, fact.payload.subject, [fact.payload.number], now)]


def join(notes: Sequence[Note]) -> Note:
    return Note(
        notes[-1].consumer, notes[-1].subject, [number for each in notes for number in each.numbers], notes[-1].now
    )


async def rows(task: Task, vocabulary: Vocabulary) -> On:
    """Every fact becomes a row, committed before the consumer's checkpoint is."""
    connection = await connect(task.database_url, role=f"{SERVICE}_api", search_path=SERVICE)

    async def take(facts: Sequence[ForeignFact]) -> None:
        positions = [fact.position for fact in facts]
        payloads = [fact.payload for fact in facts]
        subjects, numbers = [each.subject for each in payloads], [each.number for each in payloads]
        await connection.execute(TAKE, task.name, positions, subjects, numbers)

    async def take_one(fact: ForeignFact) -> None:
        await take([fact])

    return On(vocabulary.Noted, take_one, react_to_many=take)


async def appends(task: Task, vocabulary: Vocabulary) -> On:
    """Every fact becomes a command of ours and a fact of ours, through the path that services use."""
    metrics = Quiet()
    store = PostgresStore(task.database_url, SERVICE, metrics)  # type: ignore[arg-type]
    await store.open()
    path = CommandPath(SERVICE, store, vocabulary.types, Notes(vocabulary).routes, RandomIds(), metrics, NoLane())  # type: ignore[arg-type]
    effects = Effects(SERVICE, path, metrics)  # type: ignore[arg-type]
    reaction = OnForeign(
        vocabulary.Noted, partial(note, task.name), join=join if task.effect == JOINED_APPENDS else None
    )
    return bind(task.name, [reaction], effects, SystemClock(), metrics)[0]  # type: ignore[arg-type]


def counted(entry: On, counting: Counting) -> On:
    """The time starts with the first fact that reaches its reaction."""
    many = entry.react_to_many

    async def one(fact: ForeignFact) -> None:
        counting.begin()
        await entry.react(fact)

    async def several(facts: Sequence[ForeignFact]) -> None:
        counting.begin()
        assert many is not None
        await many(facts)

    return On(entry.fact, one, entry.start, entry.imported, several if many is not None else None)


async def consume(task: Task) -> None:
    """Our consumer, as a service runs it."""
    vocabulary, counting = Vocabulary(task.topic), Counting(task.records)
    entry = await (rows if task.effect == ROWS else appends)(task, vocabulary)
    consumer = Consumer(
        task.name,
        ConsumerSettings(task.database_url, task.kafka, SERVICE, "main"),
        vocabulary.types,
        [counted(entry, counting)],
        [],
        counting,  # type: ignore[arg-type]
        SystemClock(),
        limits=ConsumerLimits(catch_up_records_min=1 if task.catch_up else NEVER),
    )
    keep_what_is_there()
    await consumer.run()


async def nothing(task: Task) -> NoReturn:
    """Faust with the settings of our consumers, and an agent that does nothing with the events it takes."""
    counting = Counting(task.records)
    limits = ConsumerLimits()
    with tempfile.TemporaryDirectory(prefix="faust-") as folder:
        app = faust_app.app_of(task.name, task.kafka, Path(folder), limits)
        topic = app.topic(task.topic, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")

        async def take(stream: faust.Stream[bytes]) -> None:
            async for events in stream.take_events(limits.batch_records_max, within=BATCH_WITHIN_SECONDS):
                counting.begin()
                counting.handled("", len(events))

        app.agent(topic, name="take")(take)  # type: ignore[arg-type]
        app.finalize()
        keep_what_is_there()
        await app.start()
        await asyncio.Event().wait()
    raise AssertionError("the last record ends the process")


if __name__ == "__main__":
    asked = Task(**json.loads(sys.argv[1]))
    uvloop.run(nothing(asked) if asked.effect == NOTHING else consume(asked))
