"""The gap between a measure and its copy here: what the person sent in it, searched from the copy backwards."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from holdspace.messaging.v1.events_pb2 import MessageSent
from kernel.facts import FactTypes, instant
from kernel.queries import Queries
from services.messaging.domain.conversation import writer

FACTS_MAX = 2_000  # of the person at once; each may be in a conversation of its own
POSITIONS_MAX = 50_000  # of everybody's facts at once
RECORDED_BEFORE = timedelta(minutes=1)  # A fact is recorded by another clock than the one it occurred by.


class Part(NamedTuple):
    """A part of a gap, down to a position. `late`: by conversation, the sequences of what the person sent in it."""

    late: Mapping[str, tuple[int, ...]]
    down_to: int
    is_first: bool  # nothing before it can be in the gap

    @property
    def messages(self) -> int:
        return sum(map(len, self.late.values()))


class Gaps:
    """`positions_max` and `facts_max`: how much is read at once."""

    def __init__(
        self,
        queries: Queries,
        fact_types: FactTypes,
        *,
        positions_max: int = POSITIONS_MAX,
        facts_max: int = FACTS_MAX,
    ) -> None:
        self._queries = queries
        self._fact_types = fact_types
        self._positions_max = positions_max
        self._facts_max = facts_max

    async def part(self, person_id: str, before: int, since: datetime, until: datetime | None) -> Part:
        """Returns the next part below a position, of what was sent from `since` on and before `until`.

        The read model must have reached the position. Raises StoreUnavailable.
        """
        rows = await self._queries.rows(
            "of_person_before", person_id, before, before - self._positions_max, self._facts_max
        )
        down_to = rows[-1]["position"] if len(rows) == self._facts_max else max(1, before - self._positions_max)
        late: dict[str, list[int]] = {}
        opened = self._fact_types.open_all(row["fact"] for row in rows)
        for envelope, sent in opened:
            if not isinstance(sent, MessageSent) or sent.HasField("imported"):
                continue
            at = instant(envelope.occurred_at)
            if writer(sent) == person_id and since <= at and (until is None or at < until):
                late.setdefault(sent.conversation_id, []).append(sent.sequence)
        is_first = await self._recorded_before(down_to, since - RECORDED_BEFORE)
        return Part({name: tuple(sequences) for name, sequences in late.items()}, down_to, is_first)

    async def _recorded_before(self, position: int, instant_: datetime) -> bool:
        """Says whether everything below a position was recorded before an instant."""
        rows: Sequence[Mapping[str, datetime]] = await self._queries.rows("recorded_before", position)
        return not rows or rows[0]["recorded_at"] < instant_
