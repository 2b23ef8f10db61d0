"""What a consumer may do at most, and when it has parked too much to go on."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class ConsumerLimits:
    batch_records_max: int = 500  # of each partition
    # Of a fetch that was not full: from its coming to its being taken, so that lanes woken with it go first, and from
    # there to the next, so that more comes together.
    give_way_seconds: float = 0.0
    gather_seconds: float = 0.0
    # A batch that takes longer gives up its locks, and goes on from there: transactions end after 20 s.
    batch_seconds_max: float = 10.0
    lanes_at_once_max: int = 256  # keys whose facts are under way at the same time
    parked_window_records: int = 1_000
    parked_in_window_max: int = 50  # records that failed themselves; those that wait behind one are not counted
    parked_keys_max: int = 100
    catch_up_records_min: int = 5_000  # a partition further behind at the start is read in bulk


class ConsumerMetrics(Protocol):
    """All by the consumer's name."""

    def handled(self, consumer: str, facts: int) -> None:
        """Facts a reaction has taken, rejections included."""

    def rejected(self, consumer: str, facts: int) -> None:
        """Facts that a rule said no to."""

    def parked(self, consumer: str, records: int) -> None:
        """Records newly parked, those behind a parked one included."""

    def parked_keys(self, consumer: str, keys: int) -> None:
        """Keys parked now."""

    def retried(self, consumer: str) -> None:
        """A batch had to be tried again because something it needs did not answer."""

    def held(self, consumer: str, records: int) -> None:
        """Records now held because no watermark covers their position yet."""

    def halted(self, consumer: str, *, halted: bool) -> None:
        """Whether it does not go on before a person has looked."""

    def disordered(self, consumer: str) -> None:
        """A record came below the mark of its source that cannot have been taken: the mark's own record was false."""

    def lag_records(self, consumer: str, records: int) -> None:
        """Records behind the ends of the partitions this process has."""

    def lag_seconds(self, consumer: str, seconds: float) -> None:
        """Age of the oldest watermark reached, over all partitions and sources. Not a number while it is not known."""

    def source_ages(self, consumer: str, seconds: Mapping[str, float]) -> None:
        """Age of each source's oldest watermark; not a number for one not heard of in every partition."""


class TooMuchParked(Exception):  # noqa: N818 - names the finding
    """So many records fail that the fault is not theirs. Nothing more is parked; a person has to look."""


class Ceiling:
    """Counts failures among the last records taken."""

    def __init__(self, limits: ConsumerLimits) -> None:
        self._limits = limits
        self._window: deque[bool] = deque(maxlen=limits.parked_window_records)

    def count(self, taken: int, failed: int, parked_keys: int) -> None:
        """Raises TooMuchParked when either limit is passed."""
        self._window.extend([False] * taken)
        self._window.extend([True] * failed)
        if failed and (sum(self._window) > self._limits.parked_in_window_max):
            raise TooMuchParked(f"{sum(self._window)} of the last {len(self._window)} records failed")
        if failed and parked_keys > self._limits.parked_keys_max:
            raise TooMuchParked(f"{parked_keys} keys are parked")
