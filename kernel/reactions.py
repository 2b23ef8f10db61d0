"""Reactions to our own facts: from a fact of ours to commands of ours.

A command's request is named by reaction, fact and target stream, so doing it twice has one effect; the checkpoint
follows the effect. Imported facts have no effects unless a reaction asks for them.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from google.protobuf.message import Message

from holdspace.kernel.v1.envelope_pb2 import Envelope
from kernel.clock import Clock
from kernel.commands import CommandPath
from kernel.errors import Rejected
from kernel.facts import FactTypes, Origin, UnknownFactType, open_envelope
from kernel.own_facts import OwnFact, opened
from kernel.requests import reaction_request
from kernel.routes import Command
from kernel.store.interface import EventStore

PAGE_FACTS_MAX = 500
EFFECTS_AT_ONCE_MAX = 256
BEGUN_AT_ONCE = 16
SAVE_SECONDS = 0.2  # between checkpoints at which nothing happened; less than the role's poll

Join = Callable[[Sequence[Any]], Command]
"""Makes one command of several for the same stream: with one as with all of them, one after another."""


class EffectMetrics(Protocol):
    def effect_rejected(self, reaction: str, reason: str) -> None: ...


@dataclass(frozen=True, slots=True)
class OnOwn:
    """`react(fact, now)` returns the commands that follow from the fact; `name` is part of their requests."""

    name: str
    fact: type[Message]
    react: Callable[[OwnFact, datetime], Awaitable[Sequence[Command]]]
    imported: bool = False


class Effects:
    """Runs the commands that follow from a fact, each once in effect. A rejection is an outcome: counted and passed."""

    def __init__(self, service: str, path: CommandPath, metrics: EffectMetrics) -> None:
        self._service = service
        self._path = path
        self._metrics = metrics
        self._room = asyncio.Semaphore(EFFECTS_AT_ONCE_MAX)

    async def run_joined(self, reaction: str, caused: Iterable[tuple[Envelope, Command]], join: Join) -> None:
        """Runs commands of several facts, those for one stream joined into one. What comes of it names the last of its
        facts as the cause. A repetition may find them joined otherwise, so the command itself must know what is done.
        """
        joined: dict[tuple[str, str, str], list[tuple[Envelope, Command]]] = {}
        for cause, command in caused:
            target = (cause.imported_from, type(command).__name__, self._path.stream_of(command))
            joined.setdefault(target, []).append((cause, command))
        runs = []
        for (_, kind, stream), several in joined.items():
            causes = [cause for cause, _ in several]
            command = join([command for _, command in several])
            name = (reaction, *(cause.id for cause in causes), kind, stream, "1")
            runs.append(self._run(command, name, self._origin(causes[-1])))
        await _side_by_side(runs)

    async def run(self, reaction: str, cause: Envelope, commands: Sequence[Command]) -> Sequence[int]:
        """Returns how many facts came of each: none where a rule said no, or it had been done before."""
        origin = self._origin(cause)
        # By target and not by place: what a repetition still finds to do may be less than the first time.
        met: Counter[tuple[str, str]] = Counter()
        runs = []
        for command in commands:
            target = (type(command).__name__, self._path.stream_of(command))
            met[target] += 1
            runs.append(self._run(command, (reaction, cause.id, *target, str(met[target])), origin))
        return await _side_by_side(runs)

    def _origin(self, cause: Envelope) -> Origin:
        return Origin(
            service=self._service,
            cause=cause.id,
            correlation=cause.correlation,
            traceparent=cause.traceparent,
            imported_from=cause.imported_from,
        )

    async def _run(self, command: Command, name: tuple[str, ...], origin: Origin) -> int:
        async with self._room:
            try:
                return (await self._path.run(command, reaction_request(*name), origin)).facts
            except Rejected as rejected:
                self._metrics.effect_rejected(name[0], rejected.reason)
                return 0


async def _side_by_side(runs: Sequence[Coroutine[Any, Any, int]]) -> Sequence[int]:
    """One alone, which is most often all there is, needs no task of its own."""
    if len(runs) == 1:
        return [await runs[0]]
    waiting = iter(runs)
    try:
        async with asyncio.TaskGroup() as group:
            tasks = []
            for number, run in enumerate(waiting, 1):
                tasks.append(group.create_task(run))
                if number % BEGUN_AT_ONCE == 0:
                    await asyncio.sleep(0)  # What a gate waits for, and calls, get a turn of the event loop in between.
    finally:
        for run in waiting:
            run.close()  # It is not begun, because another failed.
    return [task.result() for task in tasks]


class OwnReactions:
    """Follows our own store by position and lets each reaction answer. Made anew by whoever comes to follow it."""

    def __init__(
        self,
        store: EventStore,
        fact_types: FactTypes,
        reactions: Sequence[OnOwn],
        effects: Effects,
        clock: Clock,
        *,
        name: str = "own-reactions",
    ) -> None:
        self._store = store
        self._fact_types = fact_types
        self._reactions = {each.name: [on for on in reactions if on.fact is each.message] for each in fact_types}
        self._effects = effects
        self._clock = clock
        self._name = name
        self._done: int | None = None
        self._saved = 0
        self._save_at = 0.0

    async def step(self) -> bool:
        """Takes one page. Returns whether there may be another: this one was full, or something came of it."""
        if self._done is None:
            self._done = self._saved = await self._store.checkpoint(self._name) or 0
        page = await self._store.read_all(self._done, PAGE_FACTS_MAX)
        is_met = False
        for recorded in page:
            envelope = open_envelope(recorded.fact)
            reactions = self._reactions.get(envelope.type)
            if reactions is None:
                raise UnknownFactType(envelope.type)  # This release must not go past it.
            if reactions:
                is_met = True
                await self._react(reactions, opened(recorded, envelope, self._fact_types))
        if page:
            self._done = page[-1].position
        await self._save(self._done, at_once=is_met)
        return is_met or len(page) == PAGE_FACTS_MAX

    async def _save(self, done: int, *, at_once: bool) -> None:
        """Facts that nobody reacts to can be passed again: of many such pages, not each is worth a commit."""
        now = asyncio.get_running_loop().time()
        if done > self._saved and (at_once or now >= self._save_at):
            await self._store.save_checkpoint(self._name, done)
            self._saved, self._save_at = done, now + SAVE_SECONDS

    async def _react(self, reactions: Sequence[OnOwn], fact: OwnFact) -> None:
        for reaction in reactions:
            if reaction.imported or not fact.envelope.imported_from:
                commands = await reaction.react(fact, self._clock.now())
                await self._effects.run(f"{self._name}/{reaction.name}", fact.envelope, commands)
