"""The response figures of a message trace, worked out in one straight line.

Shares nothing with the services: it is what their figures are checked against. A trace has one message a line: sender,
receiver, Unix seconds. Whoever writes first in an unordered pair is its client, the other its therapist, and every
message expects a reply. A line from a person to themselves is rejected, and so is one older than the last of its pair.
"""

import gzip
import math
import sys
from pathlib import Path


def read(path: Path) -> list[tuple[str, str, int]]:
    """Returns (sender, receiver, Unix seconds) for each line of a trace, which may be gzipped."""
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as lines:
        return [(sender, receiver, int(seconds)) for sender, receiver, seconds in map(str.split, lines)]


def accepted(lines: list[tuple[str, str, int]]) -> list[tuple[str, str, int]]:
    last_of_pair: dict[frozenset[str], int] = {}
    kept = []
    for sender, receiver, seconds in lines:
        pair = frozenset((sender, receiver))
        if sender == receiver or seconds < last_of_pair.get(pair, seconds):
            continue
        last_of_pair[pair] = seconds
        kept.append((sender, receiver, seconds))
    return kept


def figures(lines: list[tuple[str, str, int]]) -> dict[str, dict[str, object]]:
    """Returns per therapist the count, median_ms and p90_ms of "first", "next" and "all", and how many are "open"."""
    client_of: dict[frozenset[str], str] = {}
    waiting_since: dict[frozenset[str], int] = {}
    answered_once: set[frozenset[str]] = set()
    times: dict[str, dict[str, list[int]]] = {}
    for sender, receiver, seconds in accepted(lines):
        pair = frozenset((sender, receiver))
        client = client_of.setdefault(pair, sender)
        if sender == client:
            times.setdefault(receiver, {"first": [], "next": []})
            waiting_since.setdefault(pair, seconds)
        elif pair in waiting_since:
            kind = "next" if pair in answered_once else "first"
            answered_once.add(pair)
            times[sender][kind].append((seconds - waiting_since.pop(pair)) * 1000)
    open_waits = dict.fromkeys(times, 0)
    for pair in waiting_since:
        (therapist,) = pair - {client_of[pair]}
        open_waits[therapist] += 1
    return {
        therapist: {
            "first": summary(of["first"]),
            "next": summary(of["next"]),
            "all": summary(of["first"] + of["next"]),
            "open": open_waits[therapist],
        }
        for therapist, of in times.items()
    }


def summary(milliseconds: list[int]) -> dict[str, int | None]:
    """Nearest rank: percentile q of n values is the ceil(q n)-th."""
    ordered = sorted(milliseconds)
    n = len(ordered)
    if n == 0:
        return {"count": 0, "median_ms": None, "p90_ms": None}
    return {"count": n, "median_ms": ordered[math.ceil(n / 2) - 1], "p90_ms": ordered[math.ceil(9 * n / 10) - 1]}


if __name__ == "__main__":
    for therapist, found in sorted(figures(read(Path(sys.argv[1]))).items()):
        print(therapist, found)
