"""How long to wait before another try."""

from collections.abc import Callable

FIRST_SECONDS = 0.1
LONGEST_SECONDS = 5.0


def backoff_seconds(attempt: int, jitter: Callable[[], float]) -> float:
    """Returns seconds: doubling with every attempt (the first is 0) up to a limit, spread by half to either side.

    `jitter` returns a number in [0, 1): without it, everyone who lost the same server comes back at the same instant.
    """
    doubled = FIRST_SECONDS * 2.0 ** min(attempt, 16)
    return min(LONGEST_SECONDS, doubled) * (0.5 + jitter())
