"""What a consumer does with each type of fact: the table a service writes in its reactions.py, checked and applied."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import NamedTuple

from google.protobuf.message import Message

from kernel.consumers.records import ForeignFact, Record
from kernel.errors import Poison, WrongSetting
from kernel.facts import FactTypes, UnknownFactType, open_envelope
from kernel.relay.headers import Headers

React = Callable[[ForeignFact], Awaitable[None]]
ReactToMany = Callable[[Sequence[ForeignFact]], Awaitable[None]]


class Start(Enum):
    BEGINNING = "beginning"  # the first fact ever published
    NOW = "now"  # facts recorded after this consumer first listed the type


BEGINNING = Start.BEGINNING
NOW = Start.NOW


@dataclass(frozen=True, slots=True)
class On:
    """Each fact of the type goes to `react`, which must be safe to repeat.

    It raises Rejected for a rule's no (counted, passed); StoreUnavailable, Overloaded, VersionConflict or a passing
    error of the database to be called again; any other error twice in a row parks the fact. Facts brought from another
    system come only with `imported`.

    `react_to_many` takes facts of many keys at once, those of a key in order. Its effect is that of `react` with one
    after another, whatever part of it was there before. It raises what passes to be called again with the same facts;
    after any other error each goes to `react`.
    """

    fact: type[Message]
    react: React
    start: Start = BEGINNING
    imported: bool = False
    react_to_many: ReactToMany | None = None


class Task(NamedTuple):
    """A record that has something to be done: a fact and the entry that reacts, or why it cannot be opened."""

    record: Record
    entry: On | None = None
    fact: ForeignFact | None = None
    poison: str = ""


class Listing:
    """Raises WrongSetting for a type listed twice, a private one, or one to ignore on a topic nothing is handled of."""

    def __init__(self, fact_types: FactTypes, entries: Sequence[On], ignores: Iterable[type[Message]]) -> None:
        self._fact_types = fact_types
        handled = [(fact_types.of(entry.fact), entry) for entry in entries]
        ignored = [fact_types.of(message) for message in ignores]
        self.entries: Mapping[str, On] = {fact_type.name: entry for fact_type, entry in handled}
        self.ignored = frozenset(fact_type.name for fact_type in ignored)
        self.topics = frozenset(fact_type.topic for fact_type, _ in handled)
        wrong = [f"{fact_type.name} is private" for fact_type, _ in handled if not fact_type.topic]
        wrong += [f"{name} is both handled and ignored" for name in self.ignored & self.entries.keys()]
        wrong += [f"{each.name} is on a topic that is not read" for each in ignored if each.topic not in self.topics]
        if len(self.entries) < len(entries):
            wrong.append("a fact type is handled twice")
        if wrong:
            raise WrongSetting("; ".join(wrong))

    def task(self, record: Record, headers: Headers, since: Mapping[str, datetime]) -> Task | None:
        """Returns what is to be done about a record, None when nothing is.

        Takes since when each handled type is listed. Raises UnknownFactType for a type that is in neither list.
        """
        try:
            envelope = open_envelope(record.value or b"")
            entry = self.entries.get(envelope.type)
            if entry is None:
                if envelope.type in self.ignored:
                    return None
                raise UnknownFactType(f"{envelope.type} of {headers.source}")
            if envelope.imported_from and not entry.imported:
                return None
            if entry.start is NOW and headers.recorded_at < since[envelope.type]:
                return None
            payload = self._fact_types.payload(envelope)
        except Poison as poison:
            return Task(record, poison=str(poison))
        fact = ForeignFact(
            envelope,
            payload,
            record.topic,
            record.partition,
            record.offset,
            headers.source,
            headers.position,
            headers.stream,
            headers.version,
            headers.recorded_at,
        )
        return Task(record, entry, fact)
