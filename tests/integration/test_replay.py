"""Facts replayed by position: all of a range, in order, a page ahead; none is passed that the release does not know."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime

import asyncpg
import pytest

from holdspace.kernel.v1 import gate_pb2
from holdspace.kernel.v1.gate_pb2 import GateCopied
from kernel.errors import Poison
from kernel.facts import FactTypes, Origin, UnknownFactType
from kernel.projected import All, Rows
from kernel.rebuild import reader
from kernel.replay import PAGE_FACTS_MAX, StoredFact, page_of, replay
from kernel.store.interface import Append, Request
from kernel.store.postgres import PostgresStore
from tests.integration.test_own_reactions import Counted

TYPES = FactTypes(gate_pb2)
AT = datetime(2026, 3, 2, 9, 0, 0, 123_456, tzinfo=UTC)
FACTS = 2 * PAGE_FACTS_MAX + 203


@pytest.fixture
async def facts(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection to a store with FACTS facts."""
    store = PostgresStore(database_url, "messaging", Counted())
    await store.open()
    sealed = [
        TYPES.seal(GateCopied(gate="standing", subject=f"s{place}"), f"f{place}", AT, Origin("messaging"))
        for place in range(1, FACTS + 1)
    ]
    await store.append(Append("all", 0, sealed, Request(b"r" * 32, b"d" * 32)))
    await store.close()
    connection = await reader(database_url, "messaging", "messaging")
    yield connection
    await connection.close()


def row(fact: StoredFact, copied: GateCopied) -> tuple[object, ...]:
    assert (copied.subject, fact.envelope.id) == (f"s{fact.position}", f"f{fact.position}")
    assert fact.occurred_at == AT
    assert fact.recorded_at.tzinfo is not None
    return (fact.position,)


def rows(types: FactTypes = TYPES) -> Rows:
    """What makes a row of every fact."""
    return Rows({GateCopied: [All("seen", row)]}, [], types)


async def positions(connection: asyncpg.Connection, after: int, until: int) -> list[int]:
    found: list[int] = []
    async with aclosing(replay(connection, after, until)) as pages:
        async for page in pages:
            made = rows()
            made.take(page)
            assert made.held == made.facts == len(page.facts)
            found += page.positions
    return found


@pytest.mark.rule("PL2")
@pytest.mark.parametrize(
    ("after", "until"),
    [(0, FACTS), (0, 0), (3, 4), (0, PAGE_FACTS_MAX), (1, PAGE_FACTS_MAX + 2), (FACTS - 1, FACTS), (FACTS, FACTS + 9)],
)
async def test_a_replay_has_every_fact_of_its_range_once_and_in_order(
    facts: asyncpg.Connection, after: int, until: int
) -> None:
    assert await positions(facts, after, until) == list(range(after + 1, min(until, FACTS) + 1))
    assert list((await page_of(facts, after, until)).positions) == await positions(facts, after, until)


async def test_a_replay_that_is_left_early_leaves_its_connection_usable(facts: asyncpg.Connection) -> None:
    async with aclosing(replay(facts, 0, FACTS)) as pages:
        async for _ in pages:
            break
    assert await positions(facts, 0, 3) == [1, 2, 3]


@pytest.mark.rule("PL2")
async def test_a_fact_that_is_not_known_or_does_not_decode_stops_its_reader(facts: asyncpg.Connection) -> None:
    with pytest.raises(UnknownFactType):
        rows(FactTypes()).take(await page_of(facts, 0, 1))
    with pytest.raises(Poison):
        list(TYPES.open_all([b"\xff"]))
