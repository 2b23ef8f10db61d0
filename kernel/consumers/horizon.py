"""How far each source can have come: what claims a position beyond that is not believed before a watermark covers it.

A relay says once a second how far it has come. Between two of its watermarks an honest record can be ahead of the last
one, but by no more than what a store can record meanwhile. A record far ahead of everything known would make all that
really follows look as sent twice.
"""

from dataclasses import dataclass, field

import asyncpg

from kernel.consumers.records import Partition

# Many times what a store has been measured to record between two watermarks (docs/performance.md).
AHEAD_MAX = 100_000

KNOWN = """
select source, max(position) as position from (
    select source, position from consumer_marks where consumer = $1
    union all select source, position from consumer_watermarks where consumer = $1) known
group by source"""


@dataclass(slots=True)
class Horizon:
    """Per source, the highest position that may be believed."""

    _reach: dict[str, int] = field(default_factory=dict)

    def reaches(self, source: str, position: int) -> bool:
        return position <= self._reach.get(source, 0) or position <= self._of_origin(source)

    def raise_to(self, source: str, position: int) -> None:
        """The source has come to this position, as a watermark of it or a record that was believed says."""
        self._reach[source] = max(self._reach.get(source, 0), position + AHEAD_MAX)

    def _of_origin(self, source: str) -> int:
        """A store that was restored goes on under another epoch from where it was, or before."""
        origin = _origin(source)
        return max((reach for known, reach in self._reach.items() if _origin(known) == origin), default=AHEAD_MAX)


class Unproven(Exception):  # noqa: N818 - names the finding
    """A record claims a position that its source is not known to have reached."""

    def __init__(self, partition: Partition, offset: int, source: str, position: int) -> None:
        super().__init__(f"{partition.topic}, partition {partition.number}, offset {offset}: {source} at {position}")
        self.partition = partition
        self.offset = offset
        self.source = source
        self.position = position


async def load(connection: asyncpg.Connection, consumer: str) -> Horizon:
    """Returns what the consumer's marks and watermarks say."""
    horizon = Horizon()
    for row in await connection.fetch(KNOWN, consumer):
        horizon.raise_to(row["source"], row["position"])
    return horizon


def _origin(source: str) -> str:
    return source.rpartition("/")[0]
