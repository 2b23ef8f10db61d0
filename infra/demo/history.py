"""A seeded history to import: conversations between clients and therapists over the months before today."""

import random
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from holdspace.messaging.v1.events_pb2 import SIDE_CLIENT, SIDE_THERAPIST, Side

CONVERSATIONS = 600
DAYS = 90


class Line(NamedTuple):
    sender: str
    recipient: str
    sent_at: datetime
    side: Side.ValueType = SIDE_CLIENT  # of the sender


def history(seed: int, therapists: Sequence[str], name: str, until: datetime) -> list[Line]:
    """Returns the lines in order of time; the last is before `until`. Client ids begin with the name."""
    chance = random.Random(seed)
    lines: list[Line] = []
    for number in range(CONVERSATIONS):
        client, therapist = f"{name}-{number}", chance.choice(therapists)
        at = until - timedelta(days=DAYS) + timedelta(hours=chance.uniform(0, 24 * (DAYS - 20)))
        for _ in range(chance.randint(1, 5)):
            lines.append(Line(client, therapist, at))
            at += timedelta(hours=chance.lognormvariate(1.2, 1.0))
            if chance.random() < 0.15:
                break  # Nobody answered.
            lines.append(Line(therapist, client, at, SIDE_THERAPIST))
            at += timedelta(hours=chance.lognormvariate(2.5, 1.0))
    return sorted((line for line in lines if line.sent_at < until), key=lambda line: line.sent_at)


def numbered(lines: Sequence[Line], size: int) -> Iterator[list[tuple[int, Line]]]:
    """Yields the lines with their numbers from 1, in batches of the size."""
    all_numbered = list(enumerate(lines, 1))
    for start in range(0, len(all_numbered), size):
        yield all_numbered[start : start + size]
