"""What of a batch is still to be taken: each record once, in order, and none missing."""

from collections.abc import Iterable, Sequence

from kernel.consumers.records import Partition, Record


class Gap(Exception):  # noqa: N818 - names the finding
    """Records between the checkpoint and what came are missing."""

    def __init__(self, partition: Partition, low: int, high: int) -> None:
        super().__init__(f"{partition.topic}, partition {partition.number}, offsets {low} to {high}")
        self.partition = partition
        self.low = low
        self.high = high


def by_partition(records: Iterable[Record]) -> dict[Partition, list[Record]]:
    """Returns each record once, in order: after a rebalance a batch can hold the same offsets twice."""
    found: dict[tuple[str, int], dict[int, Record]] = {}
    for record in records:
        found.setdefault((record.topic, record.partition), {})[record.offset] = record
    return {Partition(*place): [each[offset] for offset in sorted(each)] for place, each in found.items()}


def not_yet_taken(partition: Partition, records: Sequence[Record], next_offset: int) -> list[Record]:
    """Raises Gap when records are missing before or between these."""
    fresh = [record for record in records if record.offset >= next_offset]
    for expected, record in enumerate(fresh, next_offset):
        if record.offset != expected:
            raise Gap(partition, next_offset, record.offset)
    return fresh
