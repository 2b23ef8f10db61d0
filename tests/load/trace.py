"""A trace of messages to import: the one that HOLDSPACE_TRACE names, or a made-up one of the same shape."""

import itertools
import os
import random
from pathlib import Path

VARIABLE = "HOLDSPACE_TRACE"
LINES = 60_000
PEOPLE = 1_900
NEW_PAIR = 0.23  # of the lines, the first between two people
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
    """A few people write most messages, most pairs exchange a few, and a few pairs a hundred: the more a pair has
    written, the sooner it writes again. The same for the same number of lines.
    """
    chance = random.Random(SEED)
    weights = list(itertools.accumulate(1 / rank**0.7 for rank in range(1, PEOPLE + 1)))
    people = range(1, PEOPLE + 1)
    told: list[tuple[int, int, int]] = []
    at = float(BEGAN)
    while len(told) < lines:
        at += chance.expovariate(1 / SECONDS_BETWEEN_MEAN)
        if not told or chance.random() < NEW_PAIR:
            sender, receiver = chance.choices(people, cum_weights=weights, k=2)
        else:
            sender, receiver, _ = chance.choice(told)
            if chance.random() < 0.5:
                sender, receiver = receiver, sender
        if sender != receiver:
            told.append((sender, receiver, int(at)))
    return told
