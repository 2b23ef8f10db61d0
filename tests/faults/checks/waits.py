"""The waits that response-SLA lists equal those of a small reference over what messaging and moderation stored.

The reference knows the rules (SL1, SL2, SL4) for a load whose reports name no message and are never found to be in bad
faith, and orders by the times of the facts, none before that of the fact before it in its stream.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from holdspace.messaging.v1.events_pb2 import EXPECTATION_REPLY, SIDE_CLIENT
from tests.faults.evidence import Evidence, Stored, is_closed, utc
from tests.faults.history import History
from tests.faults.violation import Violation

FIRST_TARGET = timedelta(hours=24)
UNDECIDED_MAX = timedelta(days=7)
KINDS = {1: "first", 2: "next"}
STATES = {1: "OPEN", 2: "CLOSED", 3: "VOIDED", 4: "EXCLUDED"}


class Wait(NamedTuple):
    """`ended_at`: when it was answered or voided. `answer`: the sequence of the answer, 0 when none came."""

    conversation_id: str
    opening: int
    kind: str
    opened_at: datetime
    state: str
    ended_at: datetime | None
    answer: int


@dataclass(slots=True)
class Running:
    opening: int
    kind: str
    opened_at: datetime
    state: str = "OPEN"
    ended_at: datetime | None = None
    answer: int = 0

    def end(self, state: str, at: datetime, answer: int = 0) -> None:
        if self.ended_at is None:
            self.state, self.ended_at, self.answer = state, at, answer


@dataclass(slots=True)
class Pair:
    client: str
    therapist: str
    messages: list[tuple[datetime, Any]] = field(default_factory=list)


def waits_equal_the_reference(_: History, evidence: Evidence) -> Iterator[Violation]:
    expected: dict[str, set[Wait]] = defaultdict(set)
    about = told_about_people(evidence)
    for conversation_id, pair in pairs(evidence).items():
        expected[pair.therapist] |= set(waits_of(conversation_id, pair, about))
    for therapist in sorted(expected.keys() | evidence.waits.keys()):
        listed = {as_wait(wait) for wait in evidence.waits.get(therapist, ())}
        for wait in sorted(expected[therapist] - listed):
            yield Violation("waits", f"{therapist} {wait.conversation_id}/{wait.opening}", f"not listed as {wait[2:]}")
        for wait in sorted(listed - expected[therapist]):
            yield Violation("waits", f"{therapist} {wait.conversation_id}/{wait.opening}", f"listed as {wait[2:]}")


def as_wait(listed: Any) -> Wait:
    ended_at = utc(listed.ended_at) if listed.HasField("ended_at") else None
    return Wait(
        listed.conversation_id,
        listed.opening_sequence,
        KINDS[listed.kind],
        utc(listed.opened_at),
        STATES[listed.state],
        ended_at,
        listed.answering_sequence,
    )


def pairs(evidence: Evidence) -> dict[str, Pair]:
    found: dict[str, Pair] = {}
    for row in evidence.facts("messaging", "MessageSent"):
        sent = row.payload
        pair = found.setdefault(sent.conversation_id, Pair(sent.client_id, sent.therapist_id))
        before = pair.messages[-1][0] if pair.messages else row.at
        pair.messages.append((max(row.at, before), sent))
    return found


def told_about_people(evidence: Evidence) -> dict[str, list[tuple[datetime, Stored]]]:
    """Returns what moderation published about each person, in the order of its stream."""
    found: dict[str, list[tuple[datetime, Stored]]] = defaultdict(list)
    for row in evidence.facts("moderation"):
        if row.topic:
            told = found[row.envelope.key]
            told.append((max([row.at, *(at for at, _ in told[-1:])]), row))
    return found


def waits_of(conversation_id: str, pair: Pair, about: dict[str, list[tuple[datetime, Stored]]]) -> Iterable[Wait]:
    turns: list[tuple[datetime, int, int, Any]] = [(at, 0, sent.sequence, sent) for at, sent in pair.messages]
    turns += [(at, _rank(row), row.version, row) for at, row in about.get(pair.client, ())]
    turns += [(at, 2, row.version, row) for at, row in about.get(pair.therapist, ()) if _is_standing(row)]
    turns.sort(key=lambda turn: turn[:3])
    excluded = _excluded_spans(pair, turns)
    found: list[Running] = []
    phases: dict[str, Any] = {}
    for at, _, _, turn in turns:
        if not isinstance(turn, Stored):
            _written(at, turn, found, any(is_closed(each, at) for each in phases.values()), excluded)
        elif _is_standing(turn):
            phases[turn.envelope.key] = turn.payload.standing
            if is_closed(turn.payload.standing, at) and found:
                found[-1].end("VOIDED", at)
        elif _is_report_of(turn, pair) and turn.payload.report_id not in excluded and found:
            found[-1].end("VOIDED", at)
    for each in found:
        is_excluded = any(each.opened_at <= until for _, until in excluded.values())
        state = "EXCLUDED" if is_excluded else each.state
        yield Wait(conversation_id, each.opening, each.kind, each.opened_at, state, each.ended_at, each.answer)


def _written(
    at: datetime, sent: Any, found: list[Running], locked: bool, excluded: dict[str, tuple[datetime, datetime]]
) -> None:
    if sent.sender != SIDE_CLIENT:
        if not sent.automatic and found:
            found[-1].end("CLOSED", at, sent.sequence)
        return
    if sent.expects != EXPECTATION_REPLY or locked:
        return
    if found and found[-1].ended_at is None:
        reported = [until for filed, until in excluded.values() if filed <= at]
        if not reported or not found[-1].opened_at <= max(reported) < at:
            return
    found.append(Running(sent.sequence, "next" if found else "first", at))


def _excluded_spans(pair: Pair, turns: list[tuple[datetime, int, int, Any]]) -> dict[str, tuple[datetime, datetime]]:
    """Returns of each report that was made straight away when it was filed and until when it excludes."""
    found: dict[str, tuple[datetime, datetime]] = {}
    first: datetime | None = None
    answered = False
    for place, (at, _, _, turn) in enumerate(turns):
        if not isinstance(turn, Stored):
            if turn.sender == SIDE_CLIENT:
                first = first or at
            elif not turn.automatic:
                answered = True
        elif _is_report_of(turn, pair) and first is not None and not answered and at - first <= FIRST_TARGET:
            found[turn.payload.report_id] = (at, _excludes_until(at, turn.payload.report_id, pair, turns[place:]))
    return found


def _excludes_until(
    filed: datetime, report_id: str, pair: Pair, after: Iterable[tuple[datetime, int, int, Any]]
) -> datetime:
    """The first decision about it, the client's next reinstatement, or the longest time undecided."""
    for at, _, _, turn in after:
        if not isinstance(turn, Stored) or turn.envelope.key != pair.client:
            continue
        decided = turn.type == "ReportDecided" and turn.payload.report_id == report_id
        if decided or "reinstatement" in turn.payload.DESCRIPTOR.fields_by_name:
            return min(at, filed + UNDECIDED_MAX)
    return filed + UNDECIDED_MAX


def _is_standing(row: Stored) -> bool:
    return "standing" in row.payload.DESCRIPTOR.fields_by_name


def _is_report_of(row: Stored, pair: Pair) -> bool:
    fields = row.payload.DESCRIPTOR.fields_by_name
    return "severity" in fields and row.envelope.key == pair.client and row.payload.reporter_id == pair.therapist


def _rank(row: Stored) -> int:
    """What was sent at an instant comes before what is said about it: reports, then standings, then decisions."""
    fields = row.payload.DESCRIPTOR.fields_by_name
    return 1 if "severity" in fields else 2 if "standing" in fields else 3
