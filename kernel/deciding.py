"""From a command and the states it rests on to an append."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple

from google.protobuf.message import Message

from kernel.errors import Rejected
from kernel.facts import FACT_BYTES_MAX, FactTypes, Origin
from kernel.folded import Folded, Loaded
from kernel.freshness import LaneStatus
from kernel.ids import Ids
from kernel.routes import Asked, Command, Route
from kernel.store.interface import Append


class OtherStream(NamedTuple):
    """A stream that a decision reads beside its own. `subject`: whom a gate is about, None for any other stream."""

    name: str
    loaded: Loaded
    subject: str | None


OtherStreams = Mapping[str, OtherStream]
"""By the name the decision knows it by."""


class Decided(NamedTuple):
    append: Append
    after: Loaded  # the stream as it is once that is appended


class Deciding:
    def __init__(self, fact_types: FactTypes, ids: Ids, folded: Folded) -> None:
        self._fact_types = fact_types
        self._ids = ids
        self._folded = folded

    def known(self, route: Route, command: Command) -> OtherStreams | None:
        """Returns the other streams that the decision reads as they were folded last, None when one was not."""
        known = {}
        for key, read in route.reads.items():
            name = read.stream(command)
            loaded = self._folded.get(name, read.fold)
            if loaded is None:
                return None
            known[key] = OtherStream(name, loaded, read.subject and read.subject(command))
        return known

    async def read(self, route: Route, command: Command, *, fresh: bool) -> OtherStreams:
        """Returns the same, read from the store where they must be."""
        known = {}
        for key, read in route.reads.items():
            name = read.stream(command)
            loaded = await self._folded.load(name, read.fold, fresh=fresh)
            known[key] = OtherStream(name, loaded, read.subject and read.subject(command))
        return known

    def decide(
        self,
        route: Route,
        stream: str,
        loaded: Loaded,
        others: OtherStreams,
        gates: LaneStatus,
        asked: Asked,
        deadline: float | None,
    ) -> Decided:
        """Raises Rejected."""
        command = asked.command
        if not asked.origin.imported_from and command.now < loaded.at:
            command = replace(command, now=loaded.at)  # type: ignore[type-var]  # every command is a dataclass
        decision = route.decide(command, loaded.state, **{key: seen(other, gates) for key, other in others.items()})
        append = Append(
            stream,
            loaded.version,
            [self._seal(fact, command.now, asked.origin) for fact in decision.facts],
            asked.request,
            depends_on={other.name: other.loaded.version for other in others.values() if other.name != stream},
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
        return Decided(append, Loaded(state, loaded.version + len(decision.facts), at))

    def _seal(self, fact: Message, at: datetime, origin: Origin) -> bytes:
        sealed = self._fact_types.seal(fact, self._ids.new(), at, origin)
        if len(sealed) > FACT_BYTES_MAX:
            raise Rejected("FACT_TOO_LARGE")
        return sealed


def seen(other: OtherStream, gates: LaneStatus) -> Any:  # noqa: ANN401 - the state of any fold
    """Returns the stream's state; a gate's with what is known of its copies."""
    if other.subject is None:
        return other.loaded.state
    return other.loaded.state.seen(is_fresh=gates.is_fresh, is_parked=other.subject in gates.parked)
