"""From facts to rows: what a service's projections.py declares, and the rows of many facts, written at once."""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, NoReturn, assert_never

import asyncpg
from google.protobuf.message import DecodeError, Message

from holdspace.kernel.v1.envelope_pb2 import Envelope
from kernel.errors import Poison
from kernel.facts import FactTypes
from kernel.replay import Page, StoredFact

Row = tuple[object, ...]
Values = Callable[[StoredFact, Any], Row]


@dataclass(frozen=True, slots=True)
class Add:
    """A new row of a table: values of these columns; the others have defaults. Many rows are one COPY."""

    table: str
    columns: tuple[str, ...]
    values: Values


@dataclass(frozen=True, slots=True)
class All:
    """A statement that takes an array for each value, with those of all facts in their order."""

    statement: str
    values: Values


@dataclass(frozen=True, slots=True)
class Last:
    """A statement that takes an array for each value, with those of the last fact of each key: it meets a key once.
    `key` takes the payload.
    """

    statement: str
    key: Callable[[Any], Hashable]
    values: Values


@dataclass(frozen=True, slots=True)
class LastOfStream:
    """A `Last` by the stream of the fact. Payloads of the others are not opened, which is half of what a fact costs.
    What else is written by the same statement has the same key.
    """

    statement: str
    values: Values


@dataclass(frozen=True, slots=True)
class AddOfStream:
    """A new row of a table, the only one of its stream. `last` names the `LastOfStream` statement that changes it: its
    values, but for the first, which is the key, belong into the last of `columns`. Facts that add a row and change it
    are written as one row: to add it and change it again costs the server half as much again.
    """

    table: str
    columns: tuple[str, ...]
    values: Values
    last: str


@dataclass(frozen=True, slots=True)
class Each:
    """A statement that runs for each fact, in the order of the facts: for what is rare, or depends on what was."""

    statement: str
    values: Values


Write = Add | All | Last | LastOfStream | AddOfStream | Each
Writes = Mapping[type[Message], Sequence[Write]]


class UnlistedFact(Exception):  # noqa: N818 - names the finding
    """A fact that the read model neither writes nor ignores."""


# The last fact of a key so far: what makes its values, its position, when it was recorded, and the fact, sealed. Values
# are made when it is sure to be the last. To open it again then costs less than to make the values of all, or to keep
# messages.
Newest = tuple[Values, int, int, bytes]


@dataclass(slots=True)
class Taking:
    """What becomes of a type's facts. Bound once and not for every fact."""

    made: list[tuple[Values, Callable[[Row], None]]] = field(default_factory=list)
    last: list[tuple[Values, Callable[[Any], Hashable], dict[Hashable, Newest]]] = field(default_factory=list)
    last_of_stream: list[tuple[Values, dict[Hashable, Newest]]] = field(default_factory=list)
    of_stream: list[tuple[Values, dict[Hashable, Row]]] = field(default_factory=list)
    opens: bool = False  # the payload of every one


class Takings(dict[str, Taking]):
    """What becomes of facts, by the name of their type."""

    def __missing__(self, name: str) -> NoReturn:
        raise UnlistedFact(name)


class Rows:
    """What facts come to. The rows added are written first, then each statement of an `All` or a `Last`, then every
    `Each`: what must keep another order is one statement, or all `Each`.
    """

    def __init__(self, writes: Writes, ignores: Iterable[type[Message]], fact_types: FactTypes) -> None:
        self._fact_types = fact_types
        self._added: dict[tuple[str, tuple[str, ...]], list[Row]] = {}
        self._of_stream: dict[tuple[str, tuple[str, ...], str], dict[Hashable, Row]] = {}
        self._all: dict[str, list[Row]] = {}
        self._last: dict[str, dict[Hashable, Newest]] = {}
        self._each: list[tuple[str, Row]] = []
        self._takings = Takings({message.DESCRIPTOR.full_name: self._bind(of) for message, of in writes.items()})
        self._takings.update({message.DESCRIPTOR.full_name: Taking() for message in ignores})
        self.facts = 0
        self.position = 0  # of the last fact

    @property
    def held(self) -> int:
        """How many rows it has come to."""
        held = (self._added, self._of_stream, self._all, self._last)
        return len(self._each) + sum(len(rows) for of in held for rows in of.values())

    def take(self, page: Page) -> None:
        """Opens of each fact what it needs. Raises UnlistedFact, UnknownFactType or Poison."""
        takings, payload_of = self._takings, self._fact_types.payload
        envelopes = map(Envelope.FromString, page.facts)
        try:
            for envelope, position, stream, recorded, sealed in zip(
                envelopes, page.positions, page.streams, page.recorded, page.facts, strict=True
            ):
                taking = takings[envelope.type]
                for values, newest in taking.last_of_stream:
                    newest[stream] = (values, position, recorded, sealed)
                if taking.opens:
                    payload = payload_of(envelope)
                    for values, key, newest in taking.last:
                        newest[key(payload)] = (values, position, recorded, sealed)
                    fact = StoredFact(position, recorded, envelope, payload)
                    for values, keep in taking.made:
                        keep(values(fact, payload))
                    for values, rows in taking.of_stream:
                        rows[stream] = values(fact, payload)
        except DecodeError as error:
            raise Poison("an envelope does not decode") from error
        if page.facts:
            self.facts += len(page.facts)
            self.position = page.positions[-1]

    def _bind(self, writes: Sequence[Write]) -> Taking:
        taking = Taking()
        for write in writes:
            match write:
                case Add(table, columns, values):
                    taking.made.append((values, self._added.setdefault((table, columns), []).append))
                case All(statement, values):
                    taking.made.append((values, self._all.setdefault(statement, []).append))
                case Last(statement, key, values):
                    taking.last.append((values, key, self._last.setdefault(statement, {})))
                case LastOfStream(statement, values):
                    taking.last_of_stream.append((values, self._last.setdefault(statement, {})))
                case AddOfStream(table, columns, values, last):
                    taking.of_stream.append((values, self._of_stream.setdefault((table, columns, last), {})))
                case Each(statement, values):
                    taking.made.append((values, self._each_of(statement)))
                case _:
                    assert_never(write)
        taking.opens = bool(taking.made or taking.last or taking.of_stream)
        return taking

    def _each_of(self, statement: str) -> Callable[[Row], None]:
        return lambda row: self._each.append((statement, row))

    def _rows_of(self, newest: Iterable[Newest]) -> list[Row]:
        kept = list(newest)
        opened = self._fact_types.open_all(sealed for _, _, _, sealed in kept)
        return [
            values(StoredFact(position, recorded, envelope, payload), payload)
            for (values, position, recorded, _), (envelope, payload) in zip(kept, opened, strict=True)
        ]

    def _change(self, rows: dict[Hashable, Row], last: dict[Hashable, Newest]) -> None:
        """Makes the last of each stream part of the row that is added for it."""
        changed = [stream for stream in rows if stream in last]
        for stream, row in zip(changed, self._rows_of(map(last.pop, changed)), strict=True):
            rows[stream] = (*rows[stream][: 1 - len(row)], *row[1:])

    async def write(self, connection: asyncpg.Connection, statements: Mapping[str, str]) -> None:
        """Takes the named statements, and a connection that finds the tables; it is within a transaction."""
        for (table, columns), rows in self._added.items():
            if rows:
                await connection.copy_records_to_table(table, columns=columns, records=rows)
        for (table, columns, last), of in self._of_stream.items():
            if of:
                self._change(of, self._last[last])
                await connection.copy_records_to_table(table, columns=columns, records=of.values())
        for name, rows in [
            *self._all.items(),
            *((name, self._rows_of(of.values())) for name, of in self._last.items()),
        ]:
            if rows:
                await connection.execute(statements[name], *map(list, zip(*rows, strict=True)))
        for name, run in groupby(self._each, key=lambda each: each[0]):
            await connection.executemany(statements[name], [row for _, row in run])
