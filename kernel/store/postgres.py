"""The event store on Postgres: group append through one function, reads from the primary."""

import asyncio
import json
import random
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import asyncpg

from kernel.errors import StoreUnavailable
from kernel.store.append_call import refusal
from kernel.store.appender import CLOSED, Appender, AppendMetrics, fail
from kernel.store.batches import AppendQueue, Told, Waiting
from kernel.store.connections import close, connect, fetch, is_away, is_gone, unavailable
from kernel.store.interface import (
    Append,
    Appended,
    Outcome,
    Recorded,
    Request,
    RequestKind,
    TimerDue,
    must_go_together,
)
from kernel.store.stream_reads import StreamReads
from kernel.tasks import happens

READ_ALL = """
select position, stream, version, recorded_at, fact from facts
where position > $1 and position <= $1 + $2 order by position"""
HEAD = "select coalesce(max(position), 0) from facts"
TIME = "select clock_timestamp()"
FIND_REQUEST = "select digest, answer from find_request($1, $2)"
HOLDERS = """
select stream from claimed_ranges where resource = $1 and during && tstzrange($2, null) order by lower(during)"""
TAKE_TIMERS = """
with due as (
    select stream, name from timers
    where due_at <= $1 and taken_until < now() order by due_at limit $2 for update skip locked
)
update timers t set taken_until = now() + interval '30 seconds' from due
where t.stream = due.stream and t.name = due.name returning t.stream, t.name, t.due_at"""
FINISH_TIMER = "delete from timers where stream = $1 and name = $2 and due_at = $3"

# One that a crash forgets is reached again under the same requests, so its commit need not wait for the disk.
SAVE_CHECKPOINT = """
with forgettable as (select set_config('synchronous_commit', 'off', true))
insert into reaction_checkpoints (name, position) select $1, $2::bigint from forgettable
on conflict (name) do update set position = excluded.position"""

# For connections that append: every check there is one descent of an index for each append. On a small table, or one
# that grew since it was analyzed, the planner would read all of it instead.
APPENDING = {
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
}

# The first commit after a while is told of at once; of many in a row, not each.
NOTIFY_GAP_SECONDS = 0.0025


class PostgresStore:
    """One service's store. `open` it before use and `close` it after; appends that wait at the close fail."""

    def __init__(
        self,
        database_url: str,
        service: str,
        metrics: AppendMetrics,
        *,
        waiting_max: int = 4096,
        batch_max: int = 128,
        batches_in_flight: int = 2,
        readers_max: int = 8,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._database_url = database_url
        self._service = service
        self._queue = AppendQueue(waiting_max, batch_max)
        self._batch_max = batch_max
        self._appenders = [
            Appender(self._queue, self._connect_to_append, self.find_request, metrics, jitter=jitter)
            for _ in range(batches_in_flight)
        ]
        self._streams = StreamReads(self._fetch)
        self._readers_max = readers_max
        self._readers: asyncpg.Pool | None = None
        self._listener: asyncpg.Connection | None = None
        self._notifier: asyncpg.Connection | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._committed = asyncio.Event()  # our own commits, still to be notified
        self._heard = asyncio.Event()  # anybody's commits
        self._closed = False

    async def open(self) -> None:
        """Raises StoreUnavailable when the database does not answer."""
        with unavailable():
            self._readers = await asyncpg.create_pool(
                self._database_url,
                min_size=0,  # With more the pool tries again by itself while the server is away, and logs each try.
                max_size=self._readers_max,
                connect=self._connect,
                reset=_keep_session,
            )
            await self._readers.fetchval("select 1", timeout=5)
        self._tasks = [asyncio.create_task(appender.run(self._committed.set)) for appender in self._appenders]
        self._tasks.append(asyncio.create_task(self._notify()))

    async def close(self) -> None:
        self._closed = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        fail(self._queue.take_all(), StoreUnavailable(CLOSED))
        for appender in self._appenders:
            await appender.close()
        for connection in (self._listener, self._notifier):
            await close(connection)
        if self._readers is not None:
            await self._readers.close()

    # Appends.

    async def append(self, append: Append) -> Appended:
        (told,) = await self._submit(Waiting([append]))
        if isinstance(told, Exception):
            raise told
        return told

    async def append_all(self, appends: Sequence[Append]) -> Sequence[Appended | None]:
        must_go_together(appends)
        told: list[Appended | None] = []
        while len(told) < len(appends):
            begin = len(told)
            if begin and told[-1] is None and appends[begin].stream == appends[begin - 1].stream:
                told.append(None)
            else:
                told += await self._append_together(appends[begin : begin + self._batch_max])
        return told

    async def _append_together(self, appends: Sequence[Append]) -> Sequence[Appended | None]:
        """Appends all of them, or as many of the first as may share a transaction; returns what became of those."""
        waiting = Waiting(appends)
        while not waiting.may_share:
            waiting = Waiting(waiting.appends[: len(waiting.appends) // 2])
        answer = self._submit(waiting)
        try:
            told = await answer
        except Exception:  # Whoever asked tries each by itself, and meets the error that is its own.
            return [None] * len(waiting.appends)
        return [one if isinstance(one, Appended) and one.outcome is Outcome.APPENDED else None for one in told]

    def _submit(self, waiting: Waiting) -> asyncio.Future[Sequence[Told]]:
        if self._closed:
            raise StoreUnavailable(CLOSED)
        self._queue.put(waiting)
        return waiting.answer

    async def _notify(self) -> None:
        """Tells readers that facts came, once for as many batches as committed meanwhile. Never inside the append: it
        would make commits wait for each other. A lost notification is made up by the readers' poll.
        """
        while True:
            await self._committed.wait()
            self._committed.clear()
            # Not by the pool, which costs three times as much: this goes with nearly every commit.
            try:
                if self._notifier is None or self._notifier.is_closed():
                    self._notifier = await self._connect()
                await self._notifier.execute(f"notify {self._service}_facts")
            except Exception as error:
                if not is_away(error):
                    raise
            await asyncio.sleep(NOTIFY_GAP_SECONDS)

    # Reads.

    async def find_request(self, request: Request) -> Appended | None:
        (found,) = await self._fetch(FIND_REQUEST, request.key, request.kind is RequestKind.CALL)
        if found["digest"] is None:
            return None
        answer = json.loads(found["answer"])
        same = found["digest"] == request.digest
        return refusal(Outcome.REQUEST_SEEN if same else Outcome.REQUEST_REUSED, "", answer)

    async def read_stream(self, stream: str, after_version: int = 0, up_to: int | None = None) -> Sequence[Recorded]:
        return await self._streams.read(stream, after_version, up_to)

    async def read_all(self, after_position: int, limit: int) -> Sequence[Recorded]:
        return [Recorded(*row) for row in await self._fetch(READ_ALL, after_position, limit)]

    async def time(self) -> datetime:
        """Returns the server's time, by which facts are recorded."""
        at: datetime = (await self._fetch(TIME))[0][0]
        return at

    async def head(self) -> int:
        return int((await self._fetch(HEAD))[0][0])

    async def attachment(self, attachment_id: str) -> bytes | None:
        rows = await self._fetch("select content from attachments where id = $1", attachment_id)
        return rows[0][0] if rows else None

    async def holders(self, resource: str, after: datetime) -> Sequence[str]:
        return [row[0] for row in await self._fetch(HOLDERS, resource, after)]

    async def take_due_timers(self, now: datetime, limit: int) -> Sequence[TimerDue]:
        due = [TimerDue(*row) for row in await self._fetch(TAKE_TIMERS, now, limit)]
        return sorted(due, key=lambda timer: timer.due_at)

    async def finish_timer(self, timer: TimerDue) -> None:
        await self._fetch(FINISH_TIMER, timer.stream, timer.name, timer.due_at)

    async def checkpoint(self, name: str) -> int | None:
        rows = await self._fetch("select position from reaction_checkpoints where name = $1", name)
        return rows[0][0] if rows else None

    async def save_checkpoint(self, name: str, position: int) -> None:
        await self._fetch(SAVE_CHECKPOINT, name, position)

    async def forget_old_requests(self) -> None:
        await self._fetch("select rotate_requests()")

    async def wait_for_append(self, seconds_max: float) -> None:
        try:
            if self._listener is None or self._listener.is_closed():
                self._listener = await self._connect()
                await self._listener.add_listener(f"{self._service}_facts", lambda *_: self._heard.set())
        except Exception as error:
            if not is_gone(error):
                raise
            await asyncio.sleep(seconds_max)
            return
        await happens(self._heard, seconds_max)
        self._heard.clear()

    async def _fetch(self, sql: str, *arguments: object) -> list[Any]:
        """Raises StoreUnavailable when the database cannot be reached; a read is safe to repeat."""
        assert self._readers is not None, "the store is not open"  # noqa: S101 - a programmer's error
        return await fetch(self._readers, sql, *arguments)

    async def _connect_to_append(self) -> asyncpg.Connection:
        return await self._connect_with(APPENDING)

    async def _connect(self, *_: object, **__: object) -> asyncpg.Connection:
        return await self._connect_with({})

    async def _connect_with(self, settings: Mapping[str, str]) -> asyncpg.Connection:
        search_path = f"{self._service}, public"
        return await connect(self._database_url, role=f"{self._service}_api", search_path=search_path, **settings)


async def _keep_session(_: asyncpg.Connection) -> None:
    """Nothing is set on these sessions, so there is nothing to reset: the reset is a second round trip."""
