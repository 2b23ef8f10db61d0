"""What a process keeps of streams between commands: the states folded last."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, NamedTuple, TypeVar

from kernel.facts import FactTypes, instant, open_envelope
from kernel.store.interface import EventStore

S = TypeVar("S")
BEGINNING_OF_TIME = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Fold(Generic[S]):
    """How a stream's facts become a state: `evolve(state, fact, at)`."""

    initial: S
    evolve: Callable[[S, Any, datetime], S]


class Loaded(NamedTuple):
    """A stream as folded up to a version. `at`: when its latest fact occurred, which after an import need
    not be the last.
    """

    state: Any
    version: int
    at: datetime


class Folded:
    """The states folded last. A stale one is harmless where it leads to an append: the expected version finds out.

    What was folded longest ago is forgotten first, even if it was used since: an order of use would have to be kept at
    every look, and what is forgotten is read again.
    """

    def __init__(self, store: EventStore, fact_types: FactTypes, streams_max: int) -> None:
        self._store = store
        self._fact_types = fact_types
        self._streams_max = streams_max
        self._loaded: OrderedDict[tuple[str, int], Loaded] = OrderedDict()

    def get(self, stream: str, fold: Fold[Any]) -> Loaded | None:
        return self._loaded.get((stream, id(fold)))

    def put(self, stream: str, fold: Fold[Any], loaded: Loaded) -> None:
        key = (stream, id(fold))
        known = self._loaded.get(key)
        if known is not None and known.version > loaded.version:
            return
        self._loaded[key] = loaded
        self._loaded.move_to_end(key)
        if len(self._loaded) > self._streams_max:
            self._loaded.popitem(last=False)

    async def load(self, stream: str, fold: Fold[Any], *, fresh: bool) -> Loaded:
        """Returns the stream as folded last, or with what came since read from the primary, if it is to be fresh."""
        known = self.get(stream, fold)
        if known is not None and not fresh:
            return known
        loaded = await self._on_from(known or Loaded(fold.initial, 0, BEGINNING_OF_TIME), stream, fold)
        self.put(stream, fold, loaded)
        return loaded

    async def as_of(self, stream: str, fold: Fold[Any], version: int) -> Loaded:
        """Returns the stream as it was at a version."""
        return await self._on_from(Loaded(fold.initial, 0, BEGINNING_OF_TIME), stream, fold, version)

    async def _on_from(self, known: Loaded, stream: str, fold: Fold[Any], up_to: int | None = None) -> Loaded:
        state, version, latest = known.state, known.version, known.at
        for recorded in await self._store.read_stream(stream, version, up_to):
            envelope = open_envelope(recorded.fact)
            at = instant(envelope.occurred_at)
            latest = max(latest, at)
            state = fold.evolve(state, self._fact_types.payload(envelope), at)
            version = recorded.version
        return Loaded(state, version, latest)
