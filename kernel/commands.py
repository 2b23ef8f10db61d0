"""The command path: load, fold, decide, append; decided again when what it rested on moved.

A route says on which stream a command runs and what else its decision reads. What it read is part of the append
(`depends_on`), so a decision holds at the instant of its commit or is not taken.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Generic, Protocol, TypeVar

from google.protobuf.message import Message

from kernel.decision import Decision
from kernel.errors import Rejected, VersionConflict
from kernel.facts import FACT_BYTES_MAX, FactTypes, Origin, instant, open_envelope
from kernel.ids import Ids
from kernel.requests import reaction_request
from kernel.store.interface import Append, Appended, EventStore, Outcome, Request

S = TypeVar("S")
BEGINNING_OF_TIME = datetime.min.replace(tzinfo=UTC)


class Command(Protocol):
    """Commands are frozen dataclasses; `now` is the instant they are decided at."""

    @property
    def now(self) -> datetime: ...


@dataclass(frozen=True, slots=True)
class Fold(Generic[S]):
    """How a stream's facts become a state: `evolve(state, fact, at)`."""

    initial: S
    evolve: Callable[[S, Any, datetime], S]


@dataclass(frozen=True, slots=True)
class Read:
    """Another stream of this store that a decision reads."""

    stream: Callable[[Any], str]
    fold: Fold[Any]


@dataclass(frozen=True, slots=True)
class Route:
    """One line of a service's table of contents."""

    command: type[Any]
    stream: Callable[[Any], str]
    fold: Fold[Any]
    decide: Callable[..., Decision]  # (command, state, *states of `reads`)
    reads: Sequence[Read] = ()
    claim_taken: str = ""  # the reason when another stream holds what this command claims
    expire_hold: Callable[[str, datetime], Any] | None = None  # (holder, now): the command that ends an expired hold
    urgent: bool = False


@dataclass(frozen=True, slots=True)
class Loaded:
    """A stream as folded up to a version. `at`: when its last fact occurred."""

    state: Any
    version: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Handled:
    """What a command came to: its stream, folded up to the version its facts reached, and the position to wait for."""

    stream: str
    version: int
    position: int
    state: Any
    facts: int  # how many it appended, 0 when nothing was to be done or the request was repeated
    repeated: bool  # the request had been accepted before; this is the first answer, made again


@dataclass(frozen=True, slots=True)
class _Attempt:
    decision: Decision
    appended: Appended
    loaded: Loaded


class CommandMetrics(Protocol):
    def decided_again(self, command: str) -> None: ...
    def repeated(self, command: str) -> None: ...


class CommandPath:
    """Runs the commands of one service on its store."""

    def __init__(
        self,
        service: str,
        store: EventStore,
        fact_types: FactTypes,
        routes: Sequence[Route],
        ids: Ids,
        metrics: CommandMetrics,
        *,
        attempts_max: int = 8,
        folded_streams_max: int = 50_000,
    ) -> None:
        self._service = service
        self._store = store
        self._fact_types = fact_types
        self._routes = {route.command: route for route in routes}
        self._ids = ids
        self._metrics = metrics
        self._attempts_max = attempts_max
        self._turns = _Turns()
        self._folded = _Folded(folded_streams_max)

    async def run(
        self, command: Command, request: Request, origin: Origin | None = None, deadline: float | None = None
    ) -> Handled:
        """Takes a command to its facts.

        Raises Rejected when a rule says no, VersionConflict when it could not be decided within the attempts allowed,
        and what `EventStore.append` raises. A repeated request returns its first answer, even where a rule would say
        no today.
        """
        route = self._routes[type(command)]
        stream = self.stream_of(command)
        origin = origin or Origin(self._service)
        for attempt in range(self._attempts_max):
            if attempt:
                self._metrics.decided_again(type(command).__name__)
            async with self._turns.on(stream):
                try:
                    tried = await self._try(route, stream, command, request, origin, deadline, fresh=attempt > 0)
                except Rejected:
                    if attempt == 0:
                        continue  # It may rest on a cached state; a rejection has no commit that would find out.
                    if (first := await self._store.find_request(request)) is None:
                        raise
                    return await self._first_answer(route, command, first)
                told = tried.appended
                if told.outcome is Outcome.APPENDED:
                    return self._remember(route, tried)
            if told.outcome in (Outcome.REQUEST_SEEN, Outcome.REQUEST_REUSED):
                return await self._first_answer(route, command, told)
            if told.outcome is Outcome.CLAIM_TAKEN:
                await self._end_expired_hold(route, command, told)
        raise VersionConflict(f"{type(command).__name__} on {stream}")

    def stream_of(self, command: Command) -> str:
        """Returns the stream a command runs on. Raises KeyError for a command without a route."""
        return self._routes[type(command)].stream(command)

    async def state(self, stream: str, fold: Fold[S]) -> S:
        """Returns the stream's state as of now, from the primary."""
        state: S = (await self._load(stream, fold, fresh=True)).state
        return state

    async def _try(
        self,
        route: Route,
        stream: str,
        command: Command,
        request: Request,
        origin: Origin,
        deadline: float | None,
        *,
        fresh: bool,
    ) -> _Attempt:
        loaded = await self._load(stream, route.fold, fresh=fresh)
        reads = {read.stream(command): read.fold for read in route.reads}
        read = {name: await self._load(name, fold, fresh=fresh) for name, fold in reads.items()}
        if not origin.imported_from and command.now < loaded.at:
            command = replace(command, now=loaded.at)  # type: ignore[type-var]  # every command is a dataclass
        decision = route.decide(command, loaded.state, *(read[r.stream(command)].state for r in route.reads))
        append = Append(
            stream,
            loaded.version,
            [self._seal(fact, command.now, origin) for fact in decision.facts],
            request,
            depends_on={name: dependency.version for name, dependency in read.items() if name != stream},
            claims=decision.claims,
            releases=decision.releases,
            timers=decision.timers,
            cancelled_timers=decision.cancelled_timers,
            attachments=decision.attachments,
            urgent=route.urgent,
            deadline=deadline,
        )
        appended = await self._store.append(append)
        state = loaded.state
        if appended.outcome is Outcome.APPENDED:
            for fact in decision.facts:
                state = route.fold.evolve(state, fact, command.now)
        at = max(loaded.at, command.now) if decision.facts else loaded.at
        return _Attempt(decision, appended, Loaded(state, appended.version, at))

    def _seal(self, fact: Message, at: datetime, origin: Origin) -> bytes:
        sealed = self._fact_types.seal(fact, self._ids.new(), at, origin)
        if len(sealed) > FACT_BYTES_MAX:
            raise Rejected("FACT_TOO_LARGE")
        return sealed

    def _remember(self, route: Route, tried: _Attempt) -> Handled:
        told, loaded = tried.appended, tried.loaded
        self._folded.put(told.stream, route.fold, loaded)
        facts = len(tried.decision.facts)
        return Handled(told.stream, told.version, told.position, loaded.state, facts, repeated=False)

    async def _first_answer(self, route: Route, command: Command, told: Appended) -> Handled:
        if told.outcome is Outcome.REQUEST_REUSED:
            raise Rejected("REQUEST_REUSED", "request_id")
        self._metrics.repeated(type(command).__name__)
        folded = await self._fold(
            Loaded(route.fold.initial, 0, BEGINNING_OF_TIME), told.stream, route.fold, told.version
        )
        return Handled(told.stream, told.version, told.position, folded.state, 0, repeated=True)

    async def _end_expired_hold(self, route: Route, command: Command, told: Appended) -> None:
        """Appends the expiry of a hold that is over, so that the next attempt finds the claim free."""
        if route.expire_hold is None or told.held_until is None or told.held_until > command.now:
            raise Rejected(route.claim_taken)
        request = reaction_request("expired-hold", told.holder, told.held_until.isoformat())
        await self.run(route.expire_hold(told.holder, command.now), request)

    async def _load(self, stream: str, fold: Fold[Any], *, fresh: bool) -> Loaded:
        known = self._folded.get(stream, fold)
        if known is not None and not fresh:
            return known
        loaded = await self._fold(known or Loaded(fold.initial, 0, BEGINNING_OF_TIME), stream, fold, None)
        self._folded.put(stream, fold, loaded)
        return loaded

    async def _fold(self, known: Loaded, stream: str, fold: Fold[Any], up_to: int | None) -> Loaded:
        state, version, at = known.state, known.version, known.at
        for recorded in await self._store.read_stream(stream, version, up_to):
            envelope = open_envelope(recorded.fact)
            at = instant(envelope.occurred_at)
            state = fold.evolve(state, self._fact_types.payload(envelope), at)
            version = recorded.version
        return Loaded(state, version, at)


class _Folded:
    """The states folded last. A stale one is harmless where it leads to an append: the expected version finds out."""

    def __init__(self, streams_max: int) -> None:
        self._streams_max = streams_max
        self._loaded: OrderedDict[tuple[str, int], Loaded] = OrderedDict()

    def get(self, stream: str, fold: Fold[Any]) -> Loaded | None:
        loaded = self._loaded.get((stream, id(fold)))
        if loaded is not None:
            self._loaded.move_to_end((stream, id(fold)))
        return loaded

    def put(self, stream: str, fold: Fold[Any], loaded: Loaded) -> None:
        known = self._loaded.get((stream, id(fold)))
        if known is not None and known.version > loaded.version:
            return
        self._loaded[stream, id(fold)] = loaded
        self._loaded.move_to_end((stream, id(fold)))
        if len(self._loaded) > self._streams_max:
            self._loaded.popitem(last=False)


class _Turns:
    """Commands on one stream take turns, so that those of one process never make each other stale."""

    def __init__(self) -> None:
        self._locks: dict[str, tuple[asyncio.Lock, int]] = {}

    @asynccontextmanager
    async def on(self, stream: str) -> AsyncIterator[None]:
        lock, users = self._locks.get(stream) or (asyncio.Lock(), 0)
        self._locks[stream] = (lock, users + 1)
        try:
            async with lock:
                yield
        finally:
            users = self._locks[stream][1] - 1
            if users:
                self._locks[stream] = (lock, users)
            else:
                del self._locks[stream]
