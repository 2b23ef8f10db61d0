"""What an operator does to a consumer that stands still, or has to go back: each step under its fence, on record."""

import base64
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg

from kernel.consumers import checkpoints
from kernel.consumers.records import Partition, Record
from kernel.sql import queries

SQL = queries(Path(__file__).with_name("operating.sql"))
ALIVE_SECONDS = 60.0  # a source that was heard of since then still publishes

Told = Mapping[str, Any]
Marks = Mapping[tuple[int, str], int]
"""Positions by partition and source."""


class Unsafe(Exception):  # noqa: N818 - names the finding
    """It is not done, because of what the message says."""


class _OnlyShown(Exception):  # noqa: N818 - no error
    """Rolls back what was done to be seen."""


@dataclass(frozen=True, slots=True)
class Change:
    """What a step changes: JSON before and after, for the operator's eye and the record."""

    action: str
    about: Told
    before: Told
    after: Told


@dataclass(frozen=True, slots=True)
class Log:
    """A topic as Kafka has it: id, and the offsets that its partitions begin and end with."""

    topic: str
    topic_id: UUID
    begins: Mapping[int, int]
    ends: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class Operation:
    """Each method does its step and returns what it changes; without `do` it is undone again, and was only to be seen.

    Takes a connection of the schema's owner. Every method raises Unsafe when its step could lose a fact.
    """

    connection: asyncpg.Connection
    consumer: str
    who: str
    do: bool

    async def reset(self, log: Log) -> Change:
        """Takes the topic from its beginning, as it is now. What was taken of it before is known by its position.

        Marks of a former topic go back to where they were when it was last seen.
        """
        async with self._held(log) as (former, offsets):
            found = await self.connection.fetch(SQL["marks"], self.consumer, log.topic)
            is_anew = former != log.topic_id or any(offsets[number] > end for number, end in log.ends.items())
            sure = {(row["partition"], row["source"]): row["confirmed"] for row in found} if is_anew else {}
            if is_anew:
                for each in ("move_parked", "forget_skips", "forget_watermarks"):
                    await self.connection.execute(SQL[each], self.consumer, log.topic)
            await self.connection.execute(SQL["set_topic"], self.consumer, log.topic, log.topic_id)
            await self._set(log.topic, log.begins, sure)
            before = {"topic_id": former, "next_offsets": offsets, "marks": _told(found)}
            now = await self.connection.fetch(SQL["marks"], self.consumer, log.topic)
            after = {"topic_id": log.topic_id, "next_offsets": log.begins, "marks": _told(now)}
            return await self._record("reset", {"topic": log.topic}, before, after)

    async def replay(self, log: Log, back_to: Mapping[int, int], marks: Marks) -> Change:
        """Goes back to these offsets, by partition. Takes what marks are to be then; none goes up."""
        async with self._held(log) as (known, offsets):
            if known != log.topic_id:
                raise Unsafe(f"{log.topic} was made anew: reset it")
            for number, offset in back_to.items():
                if number not in offsets or not log.begins[number] <= offset <= offsets[number]:
                    raise Unsafe(
                        f"partition {number}, offset {offset}: not between {log.begins.get(number)}, where it begins,"
                        f" and {offsets.get(number)}, where {self.consumer} stands"
                    )
            found = await self.connection.fetch(SQL["marks"], self.consumer, log.topic)
            places = {(row["partition"], row["source"]): row["position"] for row in found}
            lower = {place: min(position, marks[place]) for place, position in places.items() if place in marks}
            await self._set(log.topic, back_to, lower)
            before = {"next_offsets": {number: offsets[number] for number in back_to}, "marks": _told(found)}
            now = await self.connection.fetch(SQL["marks"], self.consumer, log.topic)
            after = {"next_offsets": back_to, "marks": _told(now)}
            return await self._record("replay", {"topic": log.topic}, before, after)

    async def skip(self, log: Log, number: int, offset: int, record: Record | None) -> Change:
        """Has one record passed over: one not taken yet, given as it is on the topic, or one that is parked."""
        place = f"{log.topic}, partition {number}, offset {offset}"
        async with self._held(log) as (_, offsets):
            parked = await self.connection.fetchrow(SQL["unpark"], self.consumer, log.topic, number, offset)
            if parked is not None:
                record = Record(log.topic, number, offset, parked["key"], parked["value"], _headers(parked["headers"]))
                await self.connection.execute(SQL["unpark_key"], self.consumer, log.topic, record.key)
            elif number not in offsets or offset < offsets[number]:
                raise Unsafe(f"{place}: {self.consumer} has taken it, and it is not parked")
            elif record is None:
                raise Unsafe(f"{place}: there is no such record")
            else:
                await self.connection.execute(SQL["skip"], self.consumer, log.topic, number, offset)
            about = {"topic": log.topic, "partition": number, "offset": offset}
            before = {"reason": parked["reason"] if parked else None, **_told_record(record)}
            return await self._record("skip", about, before, {"passed_over": True})

    async def next_offsets(self, topic: str) -> dict[int, int]:
        """Returns where the consumer stands now, by partition."""
        found = await checkpoints.read(self.connection, self.consumer)
        return {partition.number: offset for partition, offset in found.items() if partition.topic == topic}

    async def forget_source(self, source: str) -> Change:
        """Has freshness no longer wait for a source that will never publish again. Its marks stay."""
        async with only_shown_unless(self.connection, self.do):
            rows = await self.connection.fetch(SQL["sources"], self.consumer, source)
            if not rows:
                raise Unsafe(f"{self.consumer} has no watermark of {source}")
            if min(row["silent_seconds"] for row in rows) < ALIVE_SECONDS:
                raise Unsafe(f"{source} was heard of within {ALIVE_SECONDS:.0f} s: stop its relay, then forget it")
            gone = await self.connection.fetch(SQL["forget_source"], self.consumer, source)
            before = {"watermarks": [dict(row) for row in gone]}
            return await self._record("forget source", {"source": source}, before, {"watermarks": []})

    @asynccontextmanager
    async def _held(self, log: Log) -> AsyncIterator[tuple[UUID | None, dict[int, int]]]:
        """Keeps the consumer out of the topic; yields the id of it that it knows, and its next offsets by partition."""
        async with only_shown_unless(self.connection, self.do):
            rows = await self.connection.fetch(SQL["partitions"], self.consumer)
            known = {row["partition"]: row["topic_id"] for row in rows if row["topic"] == log.topic}
            if not known:
                raise Unsafe(f"{self.consumer} has no checkpoint on {log.topic}")
            if known.keys() != log.ends.keys():
                raise Unsafe(f"{log.topic} has {len(log.ends)} partitions, {self.consumer} knows {len(known)}")
            partitions = [Partition(log.topic, number) for number in known]
            locked = await checkpoints.lock(self.connection, self.consumer, partitions)
            yield known[min(known)], {each.number: offset for each, offset in locked.next_offsets.items()}

    async def _set(self, topic: str, offsets: Mapping[int, int], marks: Marks) -> None:
        place = self.consumer, topic
        await self.connection.execute(SQL["set_offsets"], *place, list(offsets), list(offsets.values()))
        numbers, sources = [number for number, _ in marks], [source for _, source in marks]
        await self.connection.execute(SQL["set_marks"], *place, numbers, sources, list(marks.values()))

    async def _record(self, action: str, about: Told, before: Told, after: Told) -> Change:
        change = Change(action, {"consumer": self.consumer, **about}, before, after)
        await put_on_record(self.connection, self.who, change)
        return change


@asynccontextmanager
async def only_shown_unless(connection: asyncpg.Connection, do: bool) -> AsyncIterator[None]:
    """A transaction that is rolled back unless what is done in it is to be done."""
    with suppress(_OnlyShown):
        async with connection.transaction():
            yield
            if not do:
                raise _OnlyShown


async def put_on_record(connection: asyncpg.Connection, who: str, change: Change) -> None:
    told = (json.dumps(each, default=str) for each in (change.about, change.before, change.after))
    await connection.execute(SQL["act"], who, change.action, *told)


def _told(marks: Sequence[asyncpg.Record]) -> list[Told]:
    return [{"partition": row["partition"], "source": row["source"], "position": row["position"]} for row in marks]


def _told_record(record: Record) -> Told:
    """The record as JSON: bytes in base64."""
    headers = [[name, base64.b64encode(value).decode()] for name, value in record.headers]
    value = None if record.value is None else base64.b64encode(record.value).decode()
    return {"key": base64.b64encode(record.key).decode(), "value": value, "headers": headers}


def _headers(flat: Sequence[bytes]) -> list[tuple[str, bytes]]:
    return [(name.decode(), value) for name, value in zip(flat[::2], flat[1::2], strict=True)]
