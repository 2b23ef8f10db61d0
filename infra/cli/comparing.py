"""Gates compared with their source: what a service has copied, and what the store where it was decided holds."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import NamedTuple

import asyncpg

from infra import topics
from infra.cli.errors import ASKED_WRONGLY, CommandError
from infra.cli.store import SQL, definition_of, reading
from infra.database import SERVICES
from kernel.facts import FactTypes, open_envelopes

PAGE_FACTS_MAX = 2_000
LOOK_SECONDS = 1.0

Progress = Callable[[int, int], None]
"""Takes how many facts were read, of how many."""


class Decided(NamedTuple):
    """Where a subject's state was decided. A `version` of 0: nowhere, by a source that was restored."""

    epoch: int
    version: int


class Difference(NamedTuple):
    """A copy that is not what its source holds. None: there is none on that side."""

    service: str
    topic: str
    subject: str
    held: Decided | None
    copied: Decided | None

    @property
    def copy(self) -> tuple[object, ...]:
        """The copy as it is: one that changes is on its way."""
        return (self.service, self.topic, self.subject, self.copied)


class Sides(NamedTuple):
    """The states of one topic by subject, at the source and in one service's copies."""

    service: str
    topic: str
    held: Mapping[str, Decided]
    copied: Mapping[str, Decided]

    def differences(self) -> Iterable[Difference]:
        for subject in sorted(self.held.keys() | {s for s, copy in self.copied.items() if copy.version}):
            held, copied = self.held.get(subject), self.copied.get(subject)
            if held != copied:
                yield Difference(self.service, self.topic, subject, held, copied)


def lanes_of(service: str) -> list[tuple[str, list[str]]]:
    """Returns the topics whose states the service publishes, each with the services that copy them."""
    states = {each.topic for each in definition_of(service).own_facts if each.tells_state}
    declared = [topic for topic in topics.load() if topic.name in states]
    copying = {name for name in SERVICES if definition_of(name).gates_consumer}
    return [
        (each.name, [name for name in map(_name, each.consumers) if name in copying]) for each in declared if each.lane
    ]


async def compared(url: str, service: str, cell: str | None, progress: Progress) -> list[Difference]:
    """Returns where copies of the service's states differ from its store. Facts that are on their way count too."""
    lanes = lanes_of(service)
    if not lanes:
        return []
    held = await states_of(url, service, progress)
    found: list[Difference] = []
    for topic, copying in lanes:
        for name in copying:
            copied = await copies_of(url, name, service, topic, cell)
            found += Sides(name, topic, held.get(topic, {}), copied).differences()
    return found


async def lasting(url: str, service: str, cell: str | None, progress: Progress, within: float) -> list[Difference]:
    """Returns the differences that are still there when what was on its way has had so many seconds to arrive."""
    deadline = asyncio.get_running_loop().time() + within
    found = await compared(url, service, cell, progress)
    while found and asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(LOOK_SECONDS)
        standing = {each.copy for each in found}
        found = [each for each in await compared(url, service, cell, progress) if each.copy in standing]
    return found


async def states_of(url: str, service: str, progress: Progress) -> Mapping[str, Mapping[str, Decided]]:
    """Returns, by topic and subject, where the service decided the last state. Reads all of its facts."""
    topics_of = {each.name: each.topic for each in definition_of(service).own_facts if each.tells_state}
    found: dict[str, dict[str, Decided]] = {}
    async with reading(url, service) as connection:
        store = await connection.fetchrow(SQL["store"])
        async for version, fact_type, key in _facts(connection, store["head"], progress):
            if topic := topics_of.get(fact_type):
                found.setdefault(topic, {})[key] = Decided(store["epoch"], version)
    return found


async def copies_of(url: str, service: str, source: str, topic: str, cell: str | None) -> Mapping[str, Decided]:
    """Returns what the service has copied of a topic's states, by subject, from one cell of the source."""
    types = [each.name for each in _foreign(service) if each.topic == topic and each.tells_state]
    async with reading(url, service) as connection:
        rows = await connection.fetch(SQL["gate_copies"], f"{source}/%", types)
    sources = {row["source"] for row in rows}
    if cell is None and len(sources) > 1:
        cells = ", ".join(sorted(each.rpartition("/")[2] for each in sources))
        raise CommandError(f"{service} has copies of several cells of {source} ({cells}): name one", ASKED_WRONGLY)
    wanted = {f"{source}/{cell}"} if cell is not None else sources
    return {row["subject"]: Decided(row["epoch"], row["version"]) for row in rows if row["source"] in wanted}


async def _facts(connection: asyncpg.Connection, head: int, progress: Progress) -> AsyncIterator[tuple[int, str, str]]:
    """Yields version, type and key of every fact up to the head."""
    after = 0
    while rows := await connection.fetch(SQL["facts_from"], after, head, PAGE_FACTS_MAX):
        for row, envelope in zip(rows, open_envelopes([row["fact"] for row in rows]), strict=True):
            yield row["version"], envelope.type, envelope.key
        after = rows[-1]["position"]
        progress(after, head)


def _foreign(service: str) -> FactTypes:
    return definition_of(service).foreign_facts


def _name(service: str) -> str:
    return service.replace("-", "_")
