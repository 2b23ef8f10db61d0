"""From facts to rows: what a service's projections.py declares, and the rows of many facts, written at once."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, assert_never

import asyncpg
from google.protobuf.message import Message

from kernel.replay import StoredFact

Values = Callable[[StoredFact, Any], tuple[object, ...]]


@dataclass(frozen=True, slots=True)
class Add:
    """A new row of a table: values of these columns; the others have defaults. Many rows are one COPY."""

    table: str
    columns: tuple[str, ...]
    values: Values


@dataclass(frozen=True, slots=True)
class Last:
    """A statement that takes an array for each value. Of values with the same key, which are the first `key` of them,
    the last count: the statement meets a key once.
    """

    statement: str
    key: int
    values: Values


@dataclass(frozen=True, slots=True)
class Each:
    """A statement that runs for each fact, in the order of the facts: for what is rare, or depends on what was."""

    statement: str
    values: Values


Write = Add | Last | Each
Writes = Mapping[type[Message], Sequence[Write]]


class UnlistedFact(Exception):  # noqa: N818 - names the finding
    """A fact that the read model neither writes nor ignores."""


class Rows:
    """What facts come to. The rows added are written first, then each statement of a `Last`, then every `Each`: what
    must keep another order is one statement, or all `Each`.
    """

    def __init__(self, writes: Writes, ignores: Iterable[type[Message]]) -> None:
        self._added: dict[tuple[str, tuple[str, ...]], list[tuple[object, ...]]] = {}
        self._last: dict[str, dict[tuple[object, ...], tuple[object, ...]]] = {}
        self._each: list[tuple[str, tuple[object, ...]]] = []
        # Bound once and not for every fact: from a fact's type to what makes its values and what keeps them.
        self._kept = {message: [(write.values, self._keep(write)) for write in of] for message, of in writes.items()}
        self._kept.update({message: [] for message in ignores})
        self.facts = 0
        self.position = 0  # of the last fact

    def take(self, facts: Iterable[StoredFact]) -> None:
        """Raises UnlistedFact."""
        kept = self._kept
        for fact in facts:
            payload = fact.payload
            if type(payload) not in kept:
                raise UnlistedFact(fact.envelope.type)
            for values, keep in kept[type(payload)]:
                keep(values(fact, payload))
            self.facts += 1
            self.position = fact.position

    def _keep(self, write: Write) -> Callable[[tuple[object, ...]], None]:
        match write:
            case Add(table, columns):
                return self._added.setdefault((table, columns), []).append
            case Last(statement, key):
                by_key = self._last.setdefault(statement, {})
                return lambda values: by_key.__setitem__(values[:key], values)
            case Each(statement):
                return lambda values: self._each.append((statement, values))
            case _:
                assert_never(write)

    async def write(self, connection: asyncpg.Connection, statements: Mapping[str, str]) -> None:
        """Takes the named statements, and a connection that finds the tables; it is within a transaction."""
        for (table, columns), rows in self._added.items():
            if rows:
                await connection.copy_records_to_table(table, columns=columns, records=rows)
        for name, by_key in self._last.items():
            if by_key:
                await connection.execute(statements[name], *map(list, zip(*by_key.values(), strict=True)))
        for name, run in groupby(self._each, key=lambda each: each[0]):
            await connection.executemany(statements[name], [values for _, values in run])
