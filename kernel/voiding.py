"""After a source was restored from a backup: copies that it did not state anew are void.

A restored source states every state it still holds under a higher epoch (kernel.relay.restating). Once a watermark of
that epoch has been reached in every partition of a topic, the topic is whole: what was copied from it under a lower
epoch and was not stated anew is not in the source any more, and never takes effect again.
"""

from collections.abc import Mapping
from typing import NamedTuple

import asyncpg
import structlog

from kernel.clock import Clock
from kernel.commands import CommandPath
from kernel.consumers.parking import parked_keys
from kernel.facts import FactTypes, Origin
from kernel.gates import CopyGate
from kernel.requests import reaction_request
from kernel.store.connections import LOST, connect
from kernel.store.interface import EventStore

# Sources of a higher epoch whose watermarks stand in every partition of a topic.
WHOLE = """
select w.topic, w.source from consumer_watermarks w
where w.consumer = $1 and w.source !~ '/1$'
group by w.topic, w.source
having count(*) = (select count(*) from consumer_checkpoints c where c.consumer = $1 and c.topic = w.topic)
order by w.topic, w.source"""
POSITION = "select position from read_model_checkpoint"
LEFT = """
select gate, subject, source_type from gate_copies
where source = $1 and epoch < $2 and source_type = any ($3::text[]) and subject <> all ($4::text[])
order by gate, subject limit $5"""

AT_ONCE_MAX = 200

log = structlog.get_logger()


class Whole(NamedTuple):
    """A topic that has all a source of an epoch states. `origin`: service/cell."""

    topic: str
    origin: str
    epoch: int

    @property
    def checkpoint(self) -> str:
        return f"voided/{self.topic}/{self.origin}/{self.epoch}"


class Voiding:
    """Looks for such copies and voids them, each once. One of the steps of the reactions role."""

    def __init__(
        self,
        database_url: str,
        service: str,
        consumer: str,
        foreign_facts: FactTypes,
        store: EventStore,
        path: CommandPath,
        clock: Clock,
    ) -> None:
        """`consumer`: the lane that copies the gates."""
        self._database_url = database_url
        self._service = service
        self._consumer = consumer
        self._store = store
        self._path = path
        self._clock = clock
        self._types: Mapping[str, list[str]] = {
            topic: [each.name for each in foreign_facts if each.topic == topic and each.tells_state]
            for topic in {each.topic for each in foreign_facts if each.tells_state}
        }
        self._done: set[Whole] = set()
        self._connection: asyncpg.Connection | None = None

    async def step(self) -> bool:
        """Voids some. Returns whether there may be more. What cannot be asked now is asked the next time."""
        try:
            for whole in await self._wholes():
                if await self._void_some(whole):
                    return True
        except (*LOST, asyncpg.InterfaceError, asyncpg.UndefinedTableError):  # No read model was made yet.
            if self._connection is not None:
                self._connection.terminate()
                self._connection = None
        return False

    async def _wholes(self) -> list[Whole]:
        rows = await (await self._connected()).fetch(WHOLE, self._consumer)
        found = []
        for row in rows:
            origin, _, epoch = row["source"].rpartition("/")
            found.append(Whole(row["topic"], origin, int(epoch)))
        return [whole for whole in found if whole not in self._done and whole.topic in self._types]

    async def _void_some(self, whole: Whole) -> bool:
        if await self._store.checkpoint(whole.checkpoint) is not None:
            self._done.add(whole)
            return False
        connection, head = await self._connected(), await self._store.head()
        if await connection.fetchval(POSITION) < head:
            return False  # The rows do not show all copies yet.
        parked = await parked_keys(connection, self._consumer)  # What is stated anew of them waits there.
        types = self._types[whole.topic]
        rows = await connection.fetch(LEFT, whole.origin, whole.epoch, types, parked, AT_ONCE_MAX)
        for row in rows:
            await self._void(whole, row["gate"], row["subject"], row["source_type"])
        if rows:
            log.warning("copies voided that their restored source does not hold", source=whole.origin, copies=len(rows))
            return True
        if parked:
            return False  # Those that are not of this source are looked at again once they are through.
        await self._store.save_checkpoint(whole.checkpoint, head)
        self._done.add(whole)
        return False

    async def _void(self, whole: Whole, gate: str, subject: str, source_type: str) -> None:
        now = self._clock.now()
        command = CopyGate(
            gate=gate,
            subject=subject,
            source=whole.origin,
            epoch=whole.epoch,
            version=0,  # Whatever the source decides in this epoch is news.
            decided_at=now,
            phases=(),
            source_type=source_type,
            now=now,
        )
        request = reaction_request("void", *map(str, whole), gate, subject)
        await self._path.run(command, request, Origin(self._service))

    async def _connected(self) -> asyncpg.Connection:
        if self._connection is None or self._connection.is_closed():
            service = self._service
            path = f"{service}_read, {service}, public"
            self._connection = await connect(self._database_url, role=f"{service}_api", search_path=path)
        return self._connection
