"""How long appends wait when several processes append to one store: `python -m tests.load.simulation` prints a table.

A process sends one batch at a time; batches take the order lock in turn and hold it for their work and their commit.
"""

import heapq
import random
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.load.load import percentile

BATCH_MAX = 128
APPEND_MS = 0.030  # work under the lock for each append, and
BATCH_MS = 0.35  # for each batch, as measured with the function itself
SECONDS = 20.0

RATES = (200, 600, 2_000, 5_000)
PROCESSES = (1, 2, 4, 8, 16)
COMMITS_MS = (0.2, 1.0, 3.0, 5.0)


@dataclass(slots=True)
class Process:
    waiting: deque[float] = field(default_factory=deque)  # when each append came
    under_way: list[float] = field(default_factory=list)


def arrivals(chance: random.Random, rate: float, seconds: float) -> Iterator[float]:
    """Yields instants in seconds, as independent callers make them."""
    at = chance.expovariate(rate)
    while at < seconds:
        yield at
        at += chance.expovariate(rate)


def waits(processes: int, rate: float, commit_ms: float, *, seed: int = 1, seconds: float = SECONDS) -> list[float]:
    """Returns how long each append took, in milliseconds: `rate` appends a second, spread evenly over the processes."""
    chance = random.Random(seed)
    everyone = [Process() for _ in range(processes)]
    events: list[tuple[float, int, int]] = [  # (at, process, 0: an append comes, 1: its batch is committed)
        (at, chance.randrange(processes), 0) for at in arrivals(chance, rate, seconds)
    ]
    heapq.heapify(events)
    for_the_lock: deque[int] = deque()
    is_held = False
    took = []
    while events:
        now, number, is_committed = heapq.heappop(events)
        process = everyone[number]
        if is_committed:
            took += [(now - came) * 1e3 for came in process.under_way]
            process.under_way = []
            is_held = False
        else:
            process.waiting.append(now)
        if process.waiting and not process.under_way:
            process.under_way = [process.waiting.popleft() for _ in range(min(BATCH_MAX, len(process.waiting)))]
            for_the_lock.append(number)
        if for_the_lock and not is_held:
            is_held, next_one = True, for_the_lock.popleft()
            held_ms = commit_ms + BATCH_MS + APPEND_MS * len(everyone[next_one].under_way)
            heapq.heappush(events, (now + held_ms / 1e3, next_one, 1))
    return took


def table() -> str:
    """Returns p50 and p99 in milliseconds as a Markdown table, a row for each commit time and rate."""
    rows = [
        "| commit | appends a second | " + " | ".join(f"{count} processes" for count in PROCESSES) + " |",
        "|---" * (2 + len(PROCESSES)) + "|",
    ]
    for commit in COMMITS_MS:
        for rate in RATES:
            found = [waits(count, rate, commit) for count in PROCESSES]
            cells = " | ".join(f"{percentile(took, 50):.1f} / {percentile(took, 99):.1f}" for took in found)
            rows.append(f"| {commit:g} ms | {rate:,} | {cells} |")
    return "\n".join(rows)


if __name__ == "__main__":
    print(table())
