"""Reads of streams: those that are asked for in the same turn of the event loop are one query.

A process that meets many streams for the first time, as an import does, otherwise spends more on asking for them than
on what it does with them.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

from kernel.store.interface import Recorded

STREAMS_AT_ONCE_MAX = 128

READ_STREAM = """
select position, stream, version, recorded_at, fact from facts_of($1)
where version > $2 and ($3::integer is null or version <= $3) order by version"""
READ_STREAMS = """
select asked.place, found.* from unnest($1::text[], $2::integer[], $3::integer[])
    with ordinality asked (stream, after, up_to, place)
cross join lateral (
    select f.position, f.stream, f.version, f.recorded_at, f.fact from facts_of(asked.stream) f
    where f.version > asked.after and (asked.up_to is null or f.version <= asked.up_to)
    order by f.version
) found"""

Fetch = Callable[..., Awaitable[list[Any]]]
"""Takes a statement and its arguments, returns rows; raises StoreUnavailable."""


class _Asked(NamedTuple):
    stream: str
    after_version: int
    up_to: int | None
    answer: "asyncio.Future[Sequence[Recorded]]"


class StreamReads:
    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch
        self._waiting: list[_Asked] = []
        self._under_way: set[asyncio.Task[None]] = set()

    async def read(self, stream: str, after_version: int, up_to: int | None) -> Sequence[Recorded]:
        """Returns the stream's facts in order. Raises StoreUnavailable."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Sequence[Recorded]] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._send)
        self._waiting.append(_Asked(stream, after_version, up_to, answer))
        return await answer

    def _send(self) -> None:
        waiting, self._waiting = self._waiting, []
        for first in range(0, len(waiting), STREAMS_AT_ONCE_MAX):
            reading = asyncio.create_task(self._answer(waiting[first : first + STREAMS_AT_ONCE_MAX]))
            self._under_way.add(reading)
            reading.add_done_callback(self._under_way.discard)

    async def _answer(self, asked: Sequence[_Asked]) -> None:
        try:
            answers = await self._found(asked)
        except Exception as error:
            for each in asked:
                if not each.answer.done():
                    each.answer.set_exception(error)
            return
        for each, found in zip(asked, answers, strict=True):
            if not each.answer.done():  # Whoever asked may have been cancelled meanwhile.
                each.answer.set_result(found)

    async def _found(self, asked: Sequence[_Asked]) -> Sequence[Sequence[Recorded]]:
        if len(asked) == 1:
            return [[Recorded(*row) for row in await self._fetch(READ_STREAM, *asked[0][:3])]]
        streams, after, up_to, _ = map(list, zip(*asked, strict=True))
        found: list[list[Recorded]] = [[] for _ in asked]
        for place, *row in await self._fetch(READ_STREAMS, streams, after, up_to):
            found[place - 1].append(Recorded(*row))
        return found
