"""The command path: load, fold, decide, append; decided again when what it rested on moved.

A route says on which stream a command runs and what else its decision reads. What it read is part of the append
(`depends_on`), so a decision holds at the instant of its commit or is not taken.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from kernel.deciding import Decided, Deciding
from kernel.errors import Rejected, VersionConflict
from kernel.facts import FactTypes, Origin
from kernel.folded import Fold, Folded
from kernel.freshness import GateWatch, LaneStatus
from kernel.ids import Ids
from kernel.requests import reaction_request
from kernel.routes import Asked, Command, Route
from kernel.store.interface import Appended, EventStore, Outcome, Request
from kernel.turns import Turns

S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Handled:
    """What a command came to: its stream, folded up to the version its facts reached, and the position to wait for."""

    stream: str
    version: int
    position: int
    state: Any
    facts: int  # how many it appended, 0 when nothing was to be done or the request was repeated
    repeated: bool  # the request had been accepted before; this is the first answer, made again


@dataclass(slots=True)
class _Line:
    """Commands of one stream, in order, with those decided ahead and what became of all so far."""

    stream: str
    route: Route
    asked: list[Asked] = field(default_factory=list)
    decided: list[Decided] = field(default_factory=list)
    told: list[Handled | Exception] = field(default_factory=list)


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
        gates: GateWatch,
        *,
        attempts_max: int = 8,
        folded_streams_max: int = 50_000,
    ) -> None:
        self._service = service
        self._store = store
        self._routes = {route.command: route for route in routes}
        self._metrics = metrics
        self._gates = gates
        self._attempts_max = attempts_max
        self._turns = Turns()
        self._folded = Folded(store, fact_types, folded_streams_max)
        self._deciding = Deciding(fact_types, ids, self._folded)

    async def run(
        self, command: Command, request: Request, origin: Origin | None = None, deadline: float | None = None
    ) -> Handled:
        """Takes a command to its facts.

        Raises Rejected when a rule says no, VersionConflict when it could not be decided within the attempts allowed,
        and what `EventStore.append` raises. A repeated request returns its first answer, even where a rule would say
        no today.
        """
        route = self._routes[type(command)]
        stream = route.stream(command)
        asked = Asked(command, request, origin or Origin(self._service))
        for attempt in range(self._attempts_max):
            if attempt:
                self._metrics.decided_again(type(command).__name__)
            await self._turns.take(stream)
            try:
                loaded = await self._folded.load(stream, route.fold, fresh=attempt > 0)
                read = await self._deciding.read(route, command, fresh=attempt > 0)
                gates = await self._gates.look()
                decided = self._deciding.decide(route, stream, loaded, read, gates, asked, deadline)
                told = await self._store.append(decided.append)
                if told.outcome is Outcome.APPENDED:
                    return self._remember(route, decided, told)
            except Rejected:
                if attempt == 0:
                    continue  # It may rest on a cached state; a rejection has no commit that would find out.
                if (first := await self._store.find_request(request)) is None:
                    raise
                return await self._first_answer(route, command, first)
            finally:
                self._turns.give_back(stream)
            if told.outcome in (Outcome.REQUEST_SEEN, Outcome.REQUEST_REUSED):
                return await self._first_answer(route, command, told)
            if told.outcome is Outcome.CLAIM_TAKEN:
                await self._end_expired_hold(route, command, told)
        raise VersionConflict(f"{type(command).__name__} on {stream}")

    async def run_all(self, asked: Sequence[Asked], deadline: float | None = None) -> Sequence[Handled | Exception]:
        """Takes commands to their facts, each as `run` would; returns what `run` returns or raises, in the order given.

        Commands of one stream take effect in the order given, each decided on the facts of those before it; from the
        first that is refused on they are run one by one. Streams do not wait for each other: what can be decided at
        once goes to the store at once. What claims, or sets timers, is run by itself.
        """
        gates = await self._gates.look()
        lines: dict[str, _Line] = {}
        places: list[tuple[_Line, int]] = []
        for one in asked:
            route = self._routes[type(one.command)]
            stream = route.stream(one.command)
            line = lines.get(stream) or lines.setdefault(stream, _Line(stream, route))
            places.append((line, len(line.asked)))
            line.asked.append(one)
        async with asyncio.TaskGroup() as group:
            at_hand = []
            for line in lines.values():
                if self._take_at_hand(line, gates, deadline):
                    at_hand.append(line)
                else:
                    group.create_task(self._run_line(line, gates, deadline))
            try:
                await self._append(at_hand)
            finally:
                for line in at_hand:
                    self._turns.give_back(line.stream)
            rest = [line for line in at_hand if len(line.told) < len(line.asked)]
            await asyncio.gather(*(self._run_rest(line, deadline) for line in rest))
        return [line.told[number] for line, number in places]

    def stream_of(self, command: Command) -> str:
        """Returns the stream a command runs on. Raises KeyError for a command without a route."""
        return self._routes[type(command)].stream(command)

    async def state(self, stream: str, fold: Fold[S]) -> S:
        """Returns the stream's state as of now, from the primary."""
        state: S = (await self._folded.load(stream, fold, fresh=True)).state
        return state

    def _take_at_hand(self, line: _Line, gates: LaneStatus, deadline: float | None) -> bool:
        """Takes the turn and decides ahead, if it is free and anything can be decided without waiting."""
        if not self._turns.take_free(line.stream):
            return False
        self._decide_ahead(line, gates, deadline)
        if not line.decided:
            self._turns.give_back(line.stream)
        return bool(line.decided)

    async def _run_line(self, line: _Line, gates: LaneStatus, deadline: float | None) -> None:
        """Waits for the turn, and for what the decisions rest on."""
        await self._turns.take(line.stream)
        try:
            await self._folded.load(line.stream, line.route.fold, fresh=False)
            for one in line.asked:
                await self._deciding.read(line.route, one.command, fresh=False)
            self._decide_ahead(line, gates, deadline)
            await self._append([line])
        except Exception as error:  # The states could not be read: the answer to all of them.
            line.told += [error] * len(line.asked)
        finally:
            self._turns.give_back(line.stream)
        await self._run_rest(line, deadline)

    def _decide_ahead(self, line: _Line, gates: LaneStatus, deadline: float | None) -> None:
        """Decides each on what those before it lead to, up to the first whose states are not known, that goes alone, or
        that something is wrong with: `run` decides it again, on what is true.
        """
        loaded = self._folded.get(line.stream, line.route.fold)
        for one in line.asked:
            read = self._deciding.known(line.route, one.command)
            if loaded is None or read is None:
                return
            try:
                decided = self._deciding.decide(line.route, line.stream, loaded, read, gates, one, deadline)
            except Exception:  # Nothing is lost: `run` raises it again where it still holds, and that is the answer.
                return
            if decided.append.goes_alone:
                return
            line.decided.append(decided)
            loaded = decided.after

    async def _append(self, lines: Sequence[_Line]) -> None:
        """Appends what was decided ahead on lines whose turn it is."""
        try:
            told = iter(await self._store.append_all([one.append for line in lines for one in line.decided]))
        except Exception as error:  # the answer to all of them
            for line in lines:
                line.told += [error] * len(line.asked)
        else:
            for line in lines:
                for one in line.decided:
                    outcome = next(told)
                    if outcome is not None:
                        line.told.append(self._remember(line.route, one, outcome))

    async def _run_rest(self, line: _Line, deadline: float | None) -> None:
        """Runs one by one what was not appended ahead."""
        for one in line.asked[len(line.told) :]:
            try:
                line.told.append(await self.run(one.command, one.request, one.origin, deadline))
            except Exception as error:  # the answer to this one; the others have theirs
                line.told.append(error)

    def _remember(self, route: Route, decided: Decided, told: Appended) -> Handled:
        self._folded.put(told.stream, route.fold, decided.after)
        facts = len(decided.append.facts)
        return Handled(told.stream, told.version, told.position, decided.after.state, facts, repeated=False)

    async def _first_answer(self, route: Route, command: Command, told: Appended) -> Handled:
        if told.outcome is Outcome.REQUEST_REUSED:
            raise Rejected("REQUEST_REUSED", "request_id")
        self._metrics.repeated(type(command).__name__)
        folded = await self._folded.as_of(told.stream, route.fold, told.version)
        return Handled(told.stream, told.version, told.position, folded.state, 0, repeated=True)

    async def _end_expired_hold(self, route: Route, command: Command, told: Appended) -> None:
        """Appends the expiry of a hold that is over, so that the next attempt finds the claim free."""
        if route.expire_hold is None or told.held_until is None or told.held_until > command.now:
            reason = route.reason_taken(told.claim)
            raise Rejected(reason)
        request = reaction_request("expired-hold", told.holder, told.held_until.isoformat())
        await self.run(route.expire_hold(told.holder, command.now), request)
