"""A trace of messages to import: the one that HOLDSPACE_TRACE names, or a made-up one of the same shape."""

import itertools
import os
import random
from pathlib import Path

VARIABLE = "HOLDSPACE_TRACE"
LINES = 60_000
PEOPLE = 1_900
CONVERSATIONS_AT_ONCE = 40
MESSAGES_MAX = 184
MESSAGES_TAIL = 1.05  # of the distribution of Pareto
BEGAN = 1_082_040_961
SECONDS_BETWEEN_MEAN = 280
SEED = 20


def path_of(folder: Path) -> Path:
    """Returns a file with one message a line: sender, receiver, Unix seconds."""
    named = os.environ.get(VARIABLE)
    if named:
        return Path(named)
    path = folder / "trace.txt"
    path.write_text("".join(f"{sender} {receiver} {at}\n" for sender, receiver, at in made_up(LINES)))
    return path


def made_up(lines: int) -> list[tuple[int, int, int]]:
    """A few people begin most conversations; most of these have a few messages, and a few have a hundred. The same for
    the same number of lines.
    """
    chance = random.Random(SEED)
    weights = list(itertools.accumulate(1 / rank**0.7 for rank in range(1, PEOPLE + 1)))
    going_on: list[tuple[int, int, int]] = []  # two people, and how many messages they have left
    told: list[tuple[int, int, int]] = []
    at = float(BEGAN)
    while len(told) < lines:
        at += chance.expovariate(1 / SECONDS_BETWEEN_MEAN)
        if len(going_on) < CONVERSATIONS_AT_ONCE:
            one, other = chance.choices(range(1, PEOPLE + 1), cum_weights=weights, k=2)
            if one == other:
                continue
            left = min(MESSAGES_MAX, int(chance.paretovariate(MESSAGES_TAIL)))
        else:
            one, other, left = going_on.pop(chance.randrange(len(going_on)))
            if chance.random() < 0.5:
                one, other = other, one
        told.append((one, other, int(at)))
        if left > 1:
            going_on.append((one, other, left - 1))
    return told
