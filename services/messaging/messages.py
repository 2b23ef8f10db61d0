"""A conversation's messages, read from its own facts: rows of them would say the same a second time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from holdspace.messaging.v1.events_pb2 import SIDE_CLIENT, SIDE_THERAPIST, MessageSent, Side, TherapistImported
from kernel.facts import FactTypes, instant
from kernel.queries import Queries
from services.messaging.app import conversation_stream
from services.messaging.domain.conversation import writer

TAIL_FACTS = 100
VERSION_MAX = 2**31 - 1


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """`side`: of its sender, as the roles are now."""

    at: datetime
    sent: MessageSent
    side: Side.ValueType
    withheld: bool


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
        withheld, last = set(conversation["withheld"]), conversation["message_count"]
        found: list[StoredMessage] = []
        # A conversation begins with another fact than a message, so a message's version is above its sequence.
        version, sequence = after_sequence + 1, after_sequence
        while sequence < last and len(found) < messages_max:
            facts = await self._facts("facts_after", conversation["conversation_id"], version, messages_max)
            if not facts:
                break
            version = facts[-1].version
            for _, at, sent in facts:
                if isinstance(sent, MessageSent) and sequence < sent.sequence <= last:
                    sequence = sent.sequence
                    by = SIDE_CLIENT if writer(sent) == conversation["client_id"] else SIDE_THERAPIST
                    message = StoredMessage(at, sent, by, sequence in withheld)
                    if not message.withheld or message.side == side:
                        found.append(message)
        return found[:messages_max]

    async def sent_by_client_since(self, conversation_id: str, since: datetime) -> Sequence[int]:
        """Returns the sequences of what its client sent from the instant on, but for what was imported.

        Times rise with versions but for what was imported, so it reads from the end. Raises StoreUnavailable.
        """
        found: list[int] = []
        version = VERSION_MAX
        while facts := await self._facts("facts_before", conversation_id, version, TAIL_FACTS):
            version = facts[-1].version
            for _, at, sent in facts:
                is_message = isinstance(sent, MessageSent)
                if isinstance(sent, TherapistImported) or (is_message and sent.HasField("imported")):
                    continue
                if at < since:
                    return found
                if is_message and sent.sender == SIDE_CLIENT:
                    found.append(sent.sequence)
        return found

    async def _facts(self, query: str, conversation_id: str, version: int, facts_max: int) -> Sequence[_Fact]:
        rows = await self._queries.rows(query, conversation_stream(conversation_id), version, facts_max)
        opened = self._fact_types.open_all(row["fact"] for row in rows)
        return [
            _Fact(row["version"], instant(envelope.occurred_at), payload)
            for row, (envelope, payload) in zip(rows, opened, strict=True)
        ]
