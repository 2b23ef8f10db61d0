"""Traces made from a seed, with what real ones have: bursts, long silences, lines told twice, lines out of order."""

import random

Line = tuple[str, str, int]
"""Sender, receiver, Unix seconds."""

PEOPLE = 30
PAIRS = 60
BEGAN = 1_082_040_961
SILENCES = [0, 1, 30, 3_600, 86_400, 5_000_000, 20_000_000]  # seconds
HOW_OFTEN = [30, 30, 40, 60, 40, 4, 1]
BURST_MAX = 8


def made_up(seed: int, lines: int) -> list[Line]:
    """Returns lines of which one in 30 is told twice, one in 30 is older than the last of its pair, and one in a
    hundred is to its own sender. Pairs take turns, each by a time of its own, so that the whole is in no order. Anybody
    may be a client in one pair and a therapist in another.
    """
    chance = random.Random(seed)
    people = [f"p{number}" for number in range(PEOPLE)]
    pairs = [tuple(chance.sample(people, 2)) for _ in range(PAIRS)]
    now = dict.fromkeys(map(frozenset, pairs), BEGAN)
    told: list[Line] = []
    while len(told) < lines:
        pair = chance.choice(pairs)
        key = frozenset(pair)
        now[key] += chance.choices(SILENCES, HOW_OFTEN)[0]
        sender, receiver = chance.sample(pair, 2)
        for _ in range(chance.choice([1, 1, 1, BURST_MAX])):
            told.append((sender, receiver, now[key]))
            now[key] += chance.choice([0, 0, 1, 5])
            told += _disturbance(chance, told[-1])
    return told[:lines]


def _disturbance(chance: random.Random, line: Line) -> list[Line]:
    sender, receiver, at = line
    drawn = chance.random()
    if drawn < 1 / 30:
        return [line]
    if drawn < 2 / 30:
        return [(receiver, sender, at - chance.choice([1, 60, 86_400]))]
    return [(sender, sender, at)] if drawn < 2 / 30 + 1 / 100 else []
