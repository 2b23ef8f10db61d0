"""After a restore from a backup: the new epoch states anew what the store says of every subject.

Others may have copied what was decided after the backup and lost with it. So the last fact of each stream that tells a
state is sent again under the new epoch, before anything else is: a copy of an earlier epoch that is not stated anew was
never decided (kernel.voiding).
"""

from collections.abc import AsyncIterator, Mapping, Sequence

import asyncpg
import structlog

from kernel.facts import open_envelopes
from kernel.relay.headers import encode, microseconds
from kernel.relay.publisher import Outgoing, Publisher
from kernel.relay.session import RelaySession

READ_RESTATED = "select position, restated_epoch from relay_checkpoint"
FINISH = "update relay_checkpoint set restated_epoch = $1 where restated_epoch < $1"
READ_PAGE = """
select position, stream, fact from facts where position > $1 and position <= $2 order by position limit $3"""
READ_FACTS = """
select position, stream, version, recorded_at, fact from facts where position = any ($1::bigint[]) order by position"""

PAGE_FACTS_MAX = 2_000
SENT_TOGETHER_MAX = 500

log = structlog.get_logger()

Topics = Mapping[str, str]
"""By the name of a fact type that tells a state."""


async def restate(publisher: Publisher, session: RelaySession, source: str, epoch: int, topics: Topics) -> None:
    """Sends the state of every stream as it was at the relay's checkpoint, once in an epoch; what comes after the
    checkpoint is the relay's to send. A crash sends it again. Raises KafkaError or LeaseLost.
    """
    row = (await session.fetch(READ_RESTATED))[0]
    if row["restated_epoch"] >= epoch:
        return
    log.info("the store was restored: its states are sent anew", source=source)
    positions = await last_states(session, row["position"], topics) if topics else []
    for first in range(0, len(positions), SENT_TOGETHER_MAX):
        rows = await session.fetch(READ_FACTS, positions[first : first + SENT_TOGETHER_MAX])
        await publisher.publish(_outgoing(rows, source, topics))
    await session.fetch(FINISH, epoch)
    log.info("states sent anew", source=source, subjects=len(positions))


async def last_states(session: RelaySession, up_to: int, topics: Topics) -> Sequence[int]:
    """Returns where each stream's last state up to a position stands, in order."""
    types = _types(session, up_to)
    last = {stream: position async for position, stream, fact_type in types if fact_type in topics}
    return sorted(last.values())


async def _types(session: RelaySession, up_to: int) -> AsyncIterator[tuple[int, str, str]]:
    after = 0
    while rows := await session.fetch(READ_PAGE, after, up_to, PAGE_FACTS_MAX):
        for row, envelope in zip(rows, open_envelopes([row["fact"] for row in rows]), strict=True):
            yield row["position"], row["stream"], envelope.type
        after = rows[-1]["position"]


def _outgoing(rows: Sequence[asyncpg.Record], source: str, topics: Topics) -> list[Outgoing]:
    found = []
    for row, envelope in zip(rows, open_envelopes([row["fact"] for row in rows]), strict=True):
        at = microseconds(row["recorded_at"])
        headers = encode(source.encode(), row["position"], row["stream"].encode(), row["version"], b"%d" % at)
        found.append((topics[envelope.type], envelope.key.encode(), row["fact"], at // 1000, headers))
    return found
