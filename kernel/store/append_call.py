"""A batch of appends as the arguments of the SQL function `append`, and its row as outcomes."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from kernel.store.interface import Append, Appended, NameClaim, Outcome, RangeClaim, RequestKind

APPEND = """
select * from append($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21)"""


def arguments(appends: Sequence[Append]) -> list[list[Any] | None]:
    """Returns the columns in the order of the function's parameters."""
    expected = _expected(appends)
    columns: list[list[Any] | None] = [
        [append.stream for append in appends],
        expected,
        [a.expected_version + len(a.facts) - begin for a, begin in zip(appends, expected, strict=True)],
        [append.request.key for append in appends],
        [append.request.digest for append in appends],
        [append.request.kind is RequestKind.CALL for append in appends],
    ]
    places = range(1, len(appends) + 1)
    columns += (
        _columns(
            4,
            [
                (place, append.stream, append.expected_version + number, fact)
                for place, append in zip(places, appends, strict=True)
                for number, fact in enumerate(append.facts, 1)
            ],
        )
        if any(append.facts for append in appends)
        else [[], [], [], []]
    )
    columns += _columns(
        3,
        [
            (place, stream, version)
            for place, a in zip(places, appends, strict=True)
            for stream, version in a.depends_on.items()
        ],
    )
    columns += _columns(
        2, [(place, _claims(a)) for place, a in zip(places, appends, strict=True) if a.claims or a.releases]
    )
    columns += _columns(3, [row for place, a in zip(places, appends, strict=True) for row in _timers(place, a)])
    bodies = [(place, b.id, b.content) for place, a in zip(places, appends, strict=True) for b in a.attachments]
    columns += _columns(3, sorted(bodies, key=lambda body: body[1]))  # in one order everywhere, against deadlocks
    return columns


def _expected(appends: Sequence[Append]) -> list[int]:
    """Of appends that follow each other on a stream, all expect the version before the first; their lengths add up."""
    begins: dict[str, int] = {}
    return [begins.setdefault(append.stream, append.expected_version) for append in appends]


def outcomes(appends: Sequence[Append], head: int, numbers: Sequence[int], answers: str) -> list[Appended]:
    """Returns an outcome per append. Positions are counted here as the function counted them: dense, in batch order."""
    told = json.loads(answers)
    results = []
    position = head
    for place, (append, number) in enumerate(zip(appends, numbers, strict=True), 1):
        outcome = Outcome(number)
        if outcome is Outcome.APPENDED:
            position += len(append.facts)
            version = append.expected_version + len(append.facts)
            results.append(Appended(outcome, append.stream, version, position))
        else:
            results.append(refusal(outcome, append.stream, told.get(str(place), {})))
    return results


def refusal(outcome: Outcome, stream: str, answer: dict[str, Any]) -> Appended:
    until = answer.get("until")
    return Appended(
        outcome,
        answer.get("stream", stream),
        answer.get("version", 0),
        answer.get("position", 0),
        answer.get("holder", ""),
        datetime.fromisoformat(until) if until else None,
    )


def _columns(count: int, rows: Sequence[tuple[Any, ...]]) -> list[list[Any] | None]:
    """Returns rows as columns; the function takes null for a list that the batch has none of."""
    if not rows:
        return [None] * count
    return [list(column) for column in zip(*rows, strict=True)]


def _claims(append: Append) -> str:
    ranges = [claim for claim in append.claims if isinstance(claim, RangeClaim)]
    return json.dumps(
        {
            "releases": list(append.releases),
            "names": [claim.name for claim in append.claims if isinstance(claim, NameClaim)],
            "ranges": [
                {
                    "resource": claim.resource,
                    "starts": claim.start.isoformat(),
                    "ends": claim.end.isoformat(),
                    "expires": claim.expires_at.isoformat() if claim.expires_at else None,
                }
                for claim in ranges
            ],
        }
    )


def _timers(place: int, append: Append) -> list[tuple[int, str, datetime | None]]:
    cancelled: list[tuple[int, str, datetime | None]] = [(place, name, None) for name in append.cancelled_timers]
    return cancelled + [(place, timer.name, timer.due_at) for timer in append.timers]
