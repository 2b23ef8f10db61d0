"""What a process keeps of streams between commands: the states folded last, and whose turn it is."""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from weakref import WeakValueDictionary


@dataclass(frozen=True, slots=True)
class Loaded:
    """A stream as folded up to a version. `at`: when its last fact occurred."""

    state: Any
    version: int
    at: datetime


class Folded:
    """The states folded last. A stale one is harmless where it leads to an append: the expected version finds out."""

    def __init__(self, streams_max: int) -> None:
        self._streams_max = streams_max
        self._loaded: OrderedDict[tuple[str, int], Loaded] = OrderedDict()

    def get(self, stream: str, fold: object) -> Loaded | None:
        loaded = self._loaded.get((stream, id(fold)))
        if loaded is not None:
            self._loaded.move_to_end((stream, id(fold)))
        return loaded

    def put(self, stream: str, fold: object, loaded: Loaded) -> None:
        known = self._loaded.get((stream, id(fold)))
        if known is not None and known.version > loaded.version:
            return
        self._loaded[stream, id(fold)] = loaded
        self._loaded.move_to_end((stream, id(fold)))
        if len(self._loaded) > self._streams_max:
            self._loaded.popitem(last=False)


class Turns:
    """Commands on one stream take turns, so that those of one process never make each other stale."""

    def __init__(self) -> None:
        # A lock lives as long as somebody holds it or waits for it.
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def of(self, stream: str) -> asyncio.Lock:
        lock = self._locks.get(stream)
        if lock is None:
            lock = self._locks[stream] = asyncio.Lock()
        return lock
