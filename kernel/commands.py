"""The command path: load, fold, decide, append; decided again when what it rested on moved.

A route says on which stream a command runs and what else its decision reads. What it read is part of the append
(`depends_on`), so a decision holds at the instant of its commit or is not taken.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Generic, Protocol, TypeVar

from google.protobuf.message import Message

from kernel.decision import Decision
from kernel.errors import Rejected, VersionConflict
from kernel.facts import FACT_BYTES_MAX, FactTypes, Origin, instant, open_envelope
from kernel.folded import Folded, Loaded, Turns
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
class Handled:
    """What a command came to: its stream, folded up to the version its facts reached, and the position to wait for."""

    stream: str
    version: int
    position: int
    state: Any
    facts: int  # how many it appended, 0 when nothing was to be done or the request was repeated
    repeated: bool  # the request had been accepted before; this is the first answer, made again


@dataclass(frozen=True, slots=True)
class Asked:
    """A command with who asked for it, under which id."""

    command: Command
    request: Request
    origin: Origin


@dataclass(frozen=True, slots=True)
class _Decided:
    append: Append
    after: Loaded  # the stream as it is once that is appended


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
        self._turns = Turns()
        self._folded = Folded(folded_streams_max)

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
        asked = Asked(command, request, origin or Origin(self._service))
        for attempt in range(self._attempts_max):
            if attempt:
                self._metrics.decided_again(type(command).__name__)
            async with self._turns.of(stream):
                try:
                    loaded = await self._load(stream, route.fold, fresh=attempt > 0)
                    decided = await self._decide(route, loaded, asked, deadline, fresh=attempt > 0)
                except Rejected:
                    if attempt == 0:
                        continue  # It may rest on a cached state; a rejection has no commit that would find out.
                    if (first := await self._store.find_request(request)) is None:
                        raise
                    return await self._first_answer(route, command, first)
                told = await self._store.append(decided.append)
                if told.outcome is Outcome.APPENDED:
                    return self._remember(route, decided, told)
            if told.outcome in (Outcome.REQUEST_SEEN, Outcome.REQUEST_REUSED):
                return await self._first_answer(route, command, told)
            if told.outcome is Outcome.CLAIM_TAKEN:
                await self._end_expired_hold(route, command, told)
        raise VersionConflict(f"{type(command).__name__} on {stream}")

    async def run_in_order(
        self, asked: Sequence[Asked], deadline: float | None = None
    ) -> Sequence[Handled | Exception]:
        """Takes commands of one stream to their facts, each as `run` would; returns what `run` returns or raises.

        Each is decided on the facts of those before it, and they are appended in one commit. From the first that is
        refused on they are run one by one. Commands that claim, or set timers, cannot be taken in order.
        """
        route = self._routes[type(asked[0].command)]
        stream = self.stream_of(asked[0].command)
        told: list[Handled | Exception] = []
        async with self._turns.of(stream):
            decided = await self._decide_ahead(
                route, await self._load(stream, route.fold, fresh=False), asked, deadline
            )
            appended = await self._store.append_in_order([each.append for each in decided])
            told += [self._remember(route, *both) for both in zip(decided, appended, strict=False)]
        for one in asked[len(told) :]:
            try:
                told.append(await self.run(one.command, one.request, one.origin, deadline))
            except Exception as error:  # the answer to this one; the others have theirs
                told.append(error)
        return told

    def stream_of(self, command: Command) -> str:
        """Returns the stream a command runs on. Raises KeyError for a command without a route."""
        return self._routes[type(command)].stream(command)

    async def state(self, stream: str, fold: Fold[S]) -> S:
        """Returns the stream's state as of now, from the primary."""
        state: S = (await self._load(stream, fold, fresh=True)).state
        return state

    async def _decide_ahead(
        self, route: Route, loaded: Loaded, asked: Sequence[Asked], deadline: float | None
    ) -> list[_Decided]:
        """Decides each on what those before it lead to, up to the first that a rule says no to."""
        decided: list[_Decided] = []
        for one in asked:
            try:
                decided.append(await self._decide(route, loaded, one, deadline, fresh=False))
            except Rejected:
                break  # `run` decides it again, on what is true.
            loaded = decided[-1].after
        return decided

    async def _decide(
        self, route: Route, loaded: Loaded, asked: Asked, deadline: float | None, *, fresh: bool
    ) -> _Decided:
        """Raises Rejected."""
        command, stream = asked.command, route.stream(asked.command)
        names = [read.stream(command) for read in route.reads]
        read = {
            name: await self._load(name, other.fold, fresh=fresh)
            for name, other in zip(names, route.reads, strict=True)
        }
        if not asked.origin.imported_from and command.now < loaded.at:
            command = replace(command, now=loaded.at)  # type: ignore[type-var]  # every command is a dataclass
        decision = route.decide(command, loaded.state, *(read[name].state for name in names))
        append = Append(
            stream,
            loaded.version,
            [self._seal(fact, command.now, asked.origin) for fact in decision.facts],
            asked.request,
            depends_on={name: dependency.version for name, dependency in read.items() if name != stream},
            claims=decision.claims,
            releases=decision.releases,
            timers=decision.timers,
            cancelled_timers=decision.cancelled_timers,
            attachments=decision.attachments,
            urgent=route.urgent,
            deadline=deadline,
        )
        state = loaded.state
        for fact in decision.facts:
            state = route.fold.evolve(state, fact, command.now)
        at = max(loaded.at, command.now) if decision.facts else loaded.at
        return _Decided(append, Loaded(state, loaded.version + len(decision.facts), at))

    def _seal(self, fact: Message, at: datetime, origin: Origin) -> bytes:
        sealed = self._fact_types.seal(fact, self._ids.new(), at, origin)
        if len(sealed) > FACT_BYTES_MAX:
            raise Rejected("FACT_TOO_LARGE")
        return sealed

    def _remember(self, route: Route, decided: _Decided, told: Appended) -> Handled:
        self._folded.put(told.stream, route.fold, decided.after)
        facts = len(decided.append.facts)
        return Handled(told.stream, told.version, told.position, decided.after.state, facts, repeated=False)

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
