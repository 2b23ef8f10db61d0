"""A conversation's messages, read from its own facts: rows of them would say the same a second time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from holdspace.messaging.v1.events_pb2 import SIDE_CLIENT, SIDE_THERAPIST, MessageSent, Side
from kernel.facts import FactTypes, instant
from kernel.queries import Queries
from services.messaging.app import conversation_stream
from services.messaging.domain.conversation import writer


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """`side`: of its sender, as the roles are now."""

    at: datetime
    sent: MessageSent
    side: Side.ValueType
    withheld: bool


def withheld_from(conversation: Mapping[str, Any], side: int) -> Sequence[int]:
    """Returns the sequences that a side does not see."""
    withheld: Sequence[int] = conversation["withheld_from_client" if side == SIDE_CLIENT else "withheld_from_therapist"]
    return withheld


class _Fact(NamedTuple):
    version: int
    at: datetime
    payload: Any


class Messages:
    """Reads them up to where the read model is, whose row says which of them are withheld."""

    def __init__(self, queries: Queries, fact_types: FactTypes) -> None:
        self._queries = queries
        self._fact_types = fact_types

    async def page(
        self, conversation: Mapping[str, Any], side: int, after_sequence: int, messages_max: int
    ) -> Sequence[StoredMessage]:
        """Returns what the side may see of the messages above a sequence, in order. `conversation`: its row.

        Raises StoreUnavailable.
        """
        last = conversation["message_count"]
        hidden = set(withheld_from(conversation, side))
        withheld = {*conversation["withheld_from_client"], *conversation["withheld_from_therapist"]}
        found: list[StoredMessage] = []
        version, sequence = 0, after_sequence
        while len(found) < messages_max:
            while sequence + 1 in hidden:
                sequence += 1
            if sequence >= last:
                break
            # A conversation begins with another fact than a message, so a message's version is above its sequence.
            version = max(version, sequence + 1)
            facts = await self._facts("facts_after", conversation["conversation_id"], version, messages_max)
            if not facts:
                break
            version = facts[-1].version
            for _, at, sent in facts:
                if isinstance(sent, MessageSent) and sequence < sent.sequence <= last:
                    sequence = sent.sequence
                    if sequence not in hidden:
                        by = SIDE_CLIENT if writer(sent) == conversation["client_id"] else SIDE_THERAPIST
                        found.append(StoredMessage(at, sent, by, sequence in withheld))
        return found[:messages_max]

    async def last_at(self, conversation: Mapping[str, Any], side: int) -> datetime:
        """Returns when the last message was sent that the side may see. Raises StoreUnavailable."""
        withheld, last = set(withheld_from(conversation, side)), conversation["message_count"]
        sequence = last
        while sequence in withheld:
            sequence -= 1
        seen = [] if sequence == last else await self.page(conversation, side, sequence - 1, 1)
        if not seen:
            at: datetime = conversation["last_message_at"]
            return at
        imported = seen[0].sent.imported
        return instant(imported.latest_at) if imported.HasField("latest_at") else seen[0].at

    async def _facts(self, query: str, conversation_id: str, version: int, facts_max: int) -> Sequence[_Fact]:
        rows = await self._queries.rows(query, conversation_stream(conversation_id), version, facts_max)
        opened = self._fact_types.open_all(row["fact"] for row in rows)
        return [
            _Fact(row["version"], instant(envelope.occurred_at), payload)
            for row, (envelope, payload) in zip(rows, opened, strict=True)
        ]
