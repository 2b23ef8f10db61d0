"""What no record reveals: a gap at the tail, a topic made anew, a wish to redrive. Looked for every two seconds."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from uuid import UUID

from aiokafka.errors import KafkaError

from kernel.consumers.handler import BatchHandler
from kernel.consumers.limits import ConsumerMetrics
from kernel.consumers.passing import is_passing
from kernel.consumers.reader import LogChanged
from kernel.consumers.records import Partition

SWEEP_SECONDS = 2.0


class Sweep:
    """`assigned` returns the partitions that this process has now, `ends` the offset that the next record of each will
    have, `topic_ids` the ids of the consumer's topics. `goes_on` is called once the first records that were
    to be taken are known to be no cause to halt.
    """

    def __init__(
        self,
        consumer: str,
        handler: BatchHandler,
        ends: Callable[[Iterable[Partition]], Awaitable[Mapping[Partition, int]]],
        topic_ids: Callable[[], Awaitable[Mapping[str, UUID]]],
        assigned: Callable[[], frozenset[Partition]],
        metrics: ConsumerMetrics,
        goes_on: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._consumer = consumer
        self._handler = handler
        self._ends = ends
        self._topic_ids = topic_ids
        self._assigned = assigned
        self._metrics = metrics
        self._goes_on = goes_on

    async def run(self) -> None:
        """Never returns. Raises what the handler raises, and LogChanged."""
        former: Mapping[Partition, int] = {}
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            try:
                before, former = former, await self._once(former)
                if before and self._goes_on is not None:  # What it stood still for it has read by now.
                    await self._goes_on()
                    self._goes_on = None
            except Exception as error:
                if not (is_passing(error) or isinstance(error, KafkaError)):
                    raise

    async def _once(self, former: Mapping[Partition, int]) -> Mapping[Partition, int]:
        """Reads on where the checkpoint has not moved since the last time, though there are records."""
        taken = await self._handler.unconfirmed()
        await self._handler.confirm(await self._topic_ids(), taken)
        assigned = self._assigned()
        next_offsets = {p: offset for p, offset in (await self._handler.next_offsets()).items() if p in assigned}
        ends = await self._ends(next_offsets)
        check_ends(next_offsets, ends)
        standing = {p: ends[p] for p, offset in next_offsets.items() if former.get(p) == offset < ends[p]}
        await self._handler.read_up_to(standing)
        await self._handler.redrive(assigned)
        self._metrics.lag_records(self._consumer, sum(ends[p] - offset for p, offset in next_offsets.items()))
        return next_offsets


def check_ends(next_offsets: Mapping[Partition, int], ends: Mapping[Partition, int]) -> None:
    """Takes checkpoints, and ends that were read after them. Raises LogChanged when one is above its log's end."""
    for partition, offset in next_offsets.items():
        if offset > ends[partition]:
            raise LogChanged(
                f"{partition.topic}, partition {partition.number}, ends at {ends[partition]}, below the checkpoint"
                f" {offset}: it was made anew"
            )
