"""The inputs of a conversation in the order in which they count.

Order follows causes, not clocks (PL9). The messages that messaging took in count in the order of their sequence, the
facts about one person in the order of their stream, and a report comes right after the last message that its reporter
knew of. Where a clock says otherwise, an input gets the time of what it follows, so times never go back. Beyond that,
times decide.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import assert_never

from services.response_sla.domain.inputs import (
    FiledReport,
    NoReplyOwed,
    PersonInput,
    ReportDecision,
    SentMessage,
    StandingChange,
)
from services.response_sla.domain.surviving import surviving
from services.response_sla.domain.wait import Parties

# No two clocks that decide are so far apart: a reporter knows what was sent that long before the report.
KNOWN_AFTER = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class TherapistStanding:
    """A change of the therapist's standing, as against the client's."""

    at: datetime
    change: StandingChange


Turn = SentMessage | PersonInput | NoReplyOwed | TherapistStanding
Key = tuple[datetime, int, int, int, str]


@dataclass(frozen=True, slots=True)
class Inputs:
    """All that was ever told about a conversation, in any order."""

    messages: Sequence[SentMessage] = ()
    client: Sequence[PersonInput] = ()
    therapist: Sequence[PersonInput] = ()
    not_owed: Sequence[NoReplyOwed] = ()


def timeline(parties: Parties, inputs: Inputs) -> list[Turn]:
    """Returns what survived, in order, each with the time it counts at."""
    messages = in_order(inputs.messages)
    turns: list[tuple[Key, Turn]] = [
        ((message.at, 0, number, 0, ""), message) for number, message in enumerate(messages)
    ]
    turns += _of_client(parties, messages, told_in_turn(inputs.client))
    turns += [_of_therapist(messages, said) for said in inputs.not_owed]
    turns += [
        (_key(change, 2), TherapistStanding(change.at, change))
        for change in told_in_turn(inputs.therapist)
        if isinstance(change, StandingChange)
    ]
    return [turn for _, turn in sorted(turns, key=lambda each: each[0])]


def in_order(told: Iterable[SentMessage]) -> list[SentMessage]:
    """Returns the messages that survived, those of the conversation's own with times that never go back."""
    by_sequence: dict[int, SentMessage] = {}
    for message in surviving(told, lambda message: message.sequence):
        known = by_sequence.get(message.sequence)  # of another source
        if known is None or (message.at, message.fact_id) < (known.at, known.fact_id):
            by_sequence[message.sequence] = message
    found, latest = [], None
    for _, message in sorted(by_sequence.items()):
        if message.imported:
            found.append(message)
            continue
        latest = message.at if latest is None else max(latest, message.at)
        found.append(message if message.at == latest else replace(message, at=latest))
    return sorted(found, key=lambda message: (message.at, message.sequence))


def told_in_turn(told: Iterable[PersonInput]) -> list[PersonInput]:
    """Returns what survived of what was said about a person, by version, no time before that of the one before it."""
    found: list[PersonInput] = []
    latest: dict[str, datetime] = {}
    kept = surviving(told, lambda item: item.version)
    for item in sorted(kept, key=lambda item: (item.source, item.version, item.at, item.fact_id)):
        name = item.source.name
        latest[name] = max(item.at, latest.get(name, item.at))
        found.append(item if item.at == latest[name] else replace(item, at=latest[name]))
    return found


def _of_client(
    parties: Parties, messages: Sequence[SentMessage], told: Iterable[PersonInput]
) -> Iterable[tuple[Key, Turn]]:
    """What follows a report in its stream follows it here too, though the report may come after its own time."""
    caused: dict[str, datetime] = {}
    for told_item in told:
        name = told_item.source.name
        item = replace(told_item, at=max(told_item.at, caused.get(name, told_item.at)))
        after = _last_known(messages, item) if isinstance(item, FiledReport) and _names(parties, item) else None
        if after is None:
            yield _key(item, _rank(item)), item
            continue
        caused[name] = max(item.at, messages[after].at)
        at = _after(messages, after, item.at)
        yield (at, 0, after, 1 + item.version, item.fact_id), replace(item, at=at)


def _of_therapist(messages: Sequence[SentMessage], said: NoReplyOwed) -> tuple[Key, Turn]:
    after = _last_known(messages, said)
    if after is None:
        return (said.at, 1, 0, 0, said.fact_id), said
    at = _after(messages, after, said.at)
    return (at, 0, after, 1, said.fact_id), replace(said, at=at)


def _names(parties: Parties, report: FiledReport) -> bool:
    """Returns whether it is a report of the therapist that names this conversation."""
    return (report.reporter_id, report.conversation_id) == (parties.therapist_id, parties.conversation_id)


def _after(messages: Sequence[SentMessage], place: int, at: datetime) -> datetime:
    """Returns the time of what comes after the message at a place, and before the next."""
    at = max(at, messages[place].at)
    return min(at, messages[place + 1].at) if place + 1 < len(messages) else at


def _last_known(messages: Sequence[SentMessage], said: FiledReport | NoReplyOwed) -> int | None:
    """Returns the place of the last message the therapist knew of; None when that is not said.

    That is the one named, or a later one that the therapist wrote, or that was there long before.
    """
    named = [number for number, message in enumerate(messages) if message.sequence <= said.last_sequence]
    if not named:
        return None
    sent = bisect_right(messages, said.at, key=lambda message: message.at)
    own = [number for number, message in enumerate(messages[:sent]) if not message.from_client]
    long_there = bisect_right(messages, said.at - KNOWN_AFTER, key=lambda message: message.at) - 1
    return max(named[-1], long_there, *own[-1:])


def _key(item: PersonInput, rank: int) -> Key:
    return (item.at, rank, item.version, 0, item.fact_id)


def _rank(item: PersonInput) -> int:
    """What was sent at the same instant comes before what is said about it."""
    match item:
        case FiledReport():
            return 1
        case StandingChange():
            return 2
        case ReportDecision():
            return 3
        case _:
            assert_never(item)
