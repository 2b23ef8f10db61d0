"""Which of the facts that were told still are in the store that told them, after it was restored from a backup."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Protocol, TypeVar

from services.response_sla.domain.inputs import Source


class Told(Protocol):
    @property
    def fact_id(self) -> str: ...
    @property
    def source(self) -> Source: ...


T = TypeVar("T", bound=Told)


def surviving(told: Iterable[T], place: Callable[[T], int]) -> list[T]:
    """Returns what no restore lost, each fact once. `place`: where its store has it, in a dense order.

    A fact that an epoch was the first to tell was written after the restore before it; so the store had lost whatever
    earlier epochs told from that place on. A fact told by several epochs is one fact, which the restore kept.
    """
    items = list(told)
    if len({item.source for item in items}) <= 1:
        return list({item.fact_id: item for item in items}.values())
    by_source: dict[str, dict[str, list[T]]] = defaultdict(lambda: defaultdict(list))
    for item in items:
        by_source[item.source.name][item.fact_id].append(item)
    kept: dict[str, T] = {}
    for name in sorted(by_source):
        for item in _of_one_source(by_source[name].values(), place):
            kept.setdefault(item.fact_id, item)
    return list(kept.values())


def _of_one_source(facts: Iterable[list[T]], place: Callable[[T], int]) -> Iterable[T]:
    """Takes the tellings of each fact."""
    written: dict[int, int] = {}  # by epoch: the first place of what it was the first to tell
    last_told: list[tuple[int, T]] = []
    for tellings in facts:
        first = min(tellings, key=lambda item: item.source.epoch)
        epoch, at = first.source.epoch, place(first)
        written[epoch] = min(at, written.get(epoch, at))
        last_told.append((max(item.source.epoch for item in tellings), first))
    for last_epoch, item in last_told:
        if all(place(item) < begins for epoch, begins in written.items() if epoch > last_epoch):
            yield item
