"""What a conversation has of its messages, without keeping the id of each."""

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from services.response_sla.domain.inputs import SentMessage, Source

Runs = tuple[tuple[int, int], ...]
"""Sequences from one to another, both included; in order, none touching the next."""


@dataclass(frozen=True, slots=True)
class Noted:
    """`runs`: the sequences noted, by who told them. `highest`: of all of them. `until`: the latest time of any
    message, `own_until`: of those that are not imported.
    """

    runs: Mapping[Source, Runs] = field(default_factory=dict)
    highest: int = 0
    until: datetime | None = None
    own_until: datetime | None = None

    def has(self, message: SentMessage) -> bool:
        runs = self.runs.get(message.source, ())
        return any(first <= message.sequence <= last for first, last in runs)

    def add(self, message: SentMessage) -> "Noted":
        """Takes a message that is not noted."""
        runs = with_one(self.runs.get(message.source, ()), message.sequence)
        return Noted(
            runs={**self.runs, message.source: runs},
            highest=max(self.highest, message.sequence),
            until=latest(self.until, message.at),
            own_until=self.own_until if message.imported else latest(self.own_until, message.at),
        )

    def counts_at(self, message: SentMessage) -> datetime:
        """Returns the time at which a message counts that is ahead of all these."""
        return message.at if message.imported else latest(self.own_until, message.at)

    def is_behind(self, message: SentMessage) -> bool:
        """Returns whether a message counts after all these, and none of them counts otherwise because of it."""
        if self.until is None:
            return True
        if any(source != message.source for source in self.runs):
            return False
        at = self.counts_at(message)
        if message.sequence > self.highest:
            return at >= self.until
        return message.imported and at > self.until


def with_one(runs: Runs, sequence: int) -> Runs:
    """Returns the runs with one more sequence, which is in none of them."""
    place = bisect_left(runs, (sequence, sequence))
    first = last = sequence
    low = high = place
    if place > 0 and runs[place - 1][1] == sequence - 1:
        low, first = place - 1, runs[place - 1][0]
    if place < len(runs) and runs[place][0] == sequence + 1:
        high, last = place + 1, runs[place][1]
    return (*runs[:low], (first, last), *runs[high:])


def latest(known: datetime | None, at: datetime) -> datetime:
    return at if known is None else max(known, at)
