"""Our own facts read by position, as projections take them in and rebuilds replay them.

A page is one row with an array for each column: received as rows of their own, facts cost more than decoding them. The
next page is on its way while one is worked on, so memory holds two, however many facts there are.
"""

import asyncio
import struct
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import asyncpg

from holdspace.kernel.v1.envelope_pb2 import Envelope
from kernel.facts import instant

PAGE_FACTS_MAX = 500

POSITIONS_AND_FACTS = """
select array_agg(position), array_agg(fact)
from (select position, fact from facts where position > $1 and position <= $2 order by position) page"""
FOR_ROWS = """
select array_agg(position), array_agg(stream), array_agg(fact), array_send(array_agg(recorded_at))
from (
    select position, stream, fact, recorded_at from facts where position > $1 and position <= $2 order by position
) page"""


SERVER_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


class StoredFact(NamedTuple):
    """A fact of our own as rows are made from it. Its times are made when they are asked for: most are not."""

    position: int
    recorded: int  # microseconds since SERVER_EPOCH
    envelope: Envelope
    payload: Any  # the message its type names

    @property
    def recorded_at(self) -> datetime:
        return SERVER_EPOCH + timedelta(microseconds=self.recorded)

    @property
    def occurred_at(self) -> datetime:
        return instant(self.envelope.occurred_at)


class Page(NamedTuple):
    """Facts in the order of their positions, as arrays of one length."""

    positions: Sequence[int] = ()
    streams: Sequence[str] = ()
    facts: Sequence[bytes] = ()  # sealed
    recorded: Sequence[int] = ()  # microseconds since SERVER_EPOCH

    def parts(self, facts_max: int) -> Iterator["Page"]:
        """Yields it as pages of at most so many facts."""
        for first in range(0, len(self.facts), facts_max):
            some = slice(first, first + facts_max)
            yield Page(self.positions[some], self.streams[some], self.facts[some], self.recorded[some])


async def page_of(connection: asyncpg.Connection, after: int, until: int) -> Page:
    """Returns the facts at positions above `after` and up to `until`."""
    return _page(await connection.fetchrow(FOR_ROWS, after, until))


async def replay(connection: asyncpg.Connection, after: int, until: int) -> AsyncGenerator[Page, None]:
    """Yields page after page what `page_of` returns at once. Nothing else may use the connection meanwhile."""
    async with aclosing(pages(connection, FOR_ROWS, after, until)) as found:
        async for page in found:
            yield _page(page)


async def pages(
    connection: asyncpg.Connection, sql: str, after: int, until: int, facts_max: int = PAGE_FACTS_MAX
) -> AsyncGenerator[Sequence[Any], None]:
    """Yields the columns of pages, an array for each: positions and sealed facts, or more, as `sql` asks."""
    statement = await connection.prepare(sql)

    def ask(start: int) -> asyncio.Task[Any]:
        return asyncio.create_task(statement.fetchrow(start, min(start + facts_max, until)))

    coming = ask(after)
    try:
        for start in range(after, until, facts_max):
            page = await coming
            if start + facts_max < until:
                coming = ask(start + facts_max)
                await asyncio.sleep(0)  # It is sent before this page is worked on.
            yield page
    finally:
        if not coming.done():
            coming.cancel()
            await asyncio.wait([coming])


def _page(columns: Sequence[Any]) -> Page:
    positions, streams, facts, times = columns
    if positions is None:
        return Page()
    return Page(positions, streams, facts, instants(times, len(facts)))


def instants(array: bytes, count: int) -> Sequence[int]:
    """Takes PostgreSQL's binary array of instants; returns microseconds since SERVER_EPOCH.

    20 bytes of head, then for each its length and value. As datetimes they would cost more than the facts themselves.
    """
    return struct.unpack_from(">" + "4xq" * count, array, 20)
