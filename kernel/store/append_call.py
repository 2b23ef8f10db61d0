"""A batch of appends as the arguments of the SQL function `append`, and its row as outcomes."""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from kernel.store.interface import Append, Appended, NameClaim, Outcome, RangeClaim, RequestKind

# Numbers travel as text: asyncpg takes twice as long for an array of them.
APPEND = """
select * from append($1, $2::text::integer[], $3::text::integer[], $4, $5, $6::text::boolean[],
    $7::text::integer[], $8, $9::text::integer[], $10, $11::text::integer[], $12, $13::text::integer[],
    $14::text::integer[], $15, $16::text::integer[], $17, $18, $19::text::integer[], $20, $21)"""
BEHIND = -1  # the expected version of an append behind another one on its stream

Column = list[Any] | str | None

OUTCOMES = tuple(Outcome)  # by number: calling an enum takes longer


def arguments(appends: Sequence[Append]) -> list[Column]:
    """Returns the columns in the order of the function's parameters."""
    return [
        [append.stream for append in appends],
        _numbers(_expected(appends)),
        _numbers([append.expected_version + len(append.facts) for append in appends]),
        [append.request.key for append in appends],
        [append.request.digest for append in appends],
        _numbers([append.request.kind is RequestKind.CALL for append in appends]),
        *_facts(appends),
        *_extras(
            [
                (place, a)
                for place, a in enumerate(appends, 1)
                if a.depends_on or a.claims or a.releases or a.timers or a.cancelled_timers or a.attachments
            ]
        ),
    ]


def _expected(appends: Sequence[Append]) -> list[int]:
    """Of appends that follow each other on a stream only the first says what it expects."""
    streams = [append.stream for append in appends]
    before = [None, *streams]
    return [
        BEHIND if stream == other else append.expected_version
        for append, stream, other in zip(appends, streams, before, strict=False)
    ]


def _facts(appends: Sequence[Append]) -> list[Column]:
    """Where every append has one fact, its stream and version are the append's own and not sent again."""
    if all(len(append.facts) == 1 for append in appends):
        return [None, None, None, [append.facts[0] for append in appends]]
    rows = [
        (place, append.stream, append.expected_version + number, fact)
        for place, append in enumerate(appends, 1)
        for number, fact in enumerate(append.facts, 1)
    ]
    return _columns(4, rows) if rows else ["{}", [], "{}", []]


def _extras(appends: Sequence[tuple[int, Append]]) -> list[Column]:
    """Returns dependencies, claims, timers and attachments of the appends that have any, each with its place."""
    if not appends:
        return [None] * 11
    depended = [(place, stream, version) for place, on in _dependencies(appends) for stream, version in on.items()]
    claimed = [(place, _claims(a)) for place, a in appends if a.claims or a.releases]
    timed = [row for place, a in appends if a.timers or a.cancelled_timers for row in _timers(place, a)]
    attached = [(place, b.id, b.content) for place, a in appends for b in a.attachments]
    attached.sort(key=lambda body: body[1])  # in one order everywhere, against deadlocks
    return [*_columns(3, depended), *_columns(2, claimed), *_columns(3, timed), *_columns(3, attached)]


def _dependencies(appends: Sequence[tuple[int, Append]]) -> Iterator[tuple[int, Mapping[str, int]]]:
    """Of appends that follow each other on a stream and depend on the same, the first speaks for those behind it."""
    stream, depends_on = "", None
    for place, append in appends:
        if append.stream != stream or append.depends_on != depends_on:
            stream, depends_on = append.stream, append.depends_on
            yield place, depends_on


def outcomes(appends: Sequence[Append], head: int, numbers: Sequence[int], answers: str) -> list[Appended]:
    """Returns an outcome per append. Positions are counted here as the function counted them: dense, in batch order."""
    told = json.loads(answers)
    results = []
    position = head
    for place, (append, number) in enumerate(zip(appends, numbers, strict=True), 1):
        outcome = OUTCOMES[number]
        if outcome is Outcome.APPENDED:
            facts = len(append.facts)
            position += facts
            results.append(Appended(outcome, append.stream, append.expected_version + facts, position))
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
        answer.get("claim", ""),
    )


def _columns(count: int, rows: Sequence[tuple[Any, ...]]) -> list[Column]:
    """Returns rows as columns, those of numbers as text; null is what the function takes where there are no rows."""
    if not rows:
        return [None] * count
    columns = [list(column) for column in zip(*rows, strict=True)]
    return [_numbers(column) if isinstance(column[0], int) else column for column in columns]


def _numbers(values: list[int]) -> str:
    """Returns integers or booleans as the literal of an array."""
    return f"{{{str(values)[1:-1]}}}"


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
