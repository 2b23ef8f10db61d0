"""A reaction that reads rows waits until they are there, and its role goes on; and a role does not look for nothing."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from holdspace.kernel.v1.envelope_pb2 import Envelope
from holdspace.messaging.v1.private_pb2 import GapSearched, MeasuresLifted
from infra.database import prepare
from kernel.background import AtMostEvery
from kernel.errors import StoreUnavailable
from kernel.own_facts import OwnFact
from kernel.queries import Queries
from kernel.rebuild import ensure, reader
from kernel.routes import Command
from services.messaging.gap import Gaps
from services.messaging.projections import READ_MODEL
from services.messaging.reactions import restore, withhold
from services.messaging.wiring import MESSAGING

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
POSITION = 7


def a_lift() -> OwnFact:
    lifted = MeasuresLifted(person_id="client-1")
    lifted.lift.decided_at.FromDatetime(NOW)
    return OwnFact(POSITION, "person-client-1", 1, NOW, Envelope(), lifted)


def a_search() -> OwnFact:
    searched = GapSearched(person_id="client-1", down_to=POSITION)
    searched.measure.decided_at.FromDatetime(NOW)
    return OwnFact(POSITION, "person-client-1", 1, NOW, Envelope(), searched)


def waiting(queries: Queries) -> Sequence[Awaitable[Sequence[Command]]]:
    gaps = Gaps(queries, MESSAGING.own_facts)
    return [withhold(queries, gaps, a_search(), NOW), restore(queries, a_lift(), NOW)]


@pytest.fixture
async def queries(database_url: str) -> AsyncIterator[Queries]:
    """Of messaging, whose read model is empty and at the beginning."""
    await prepare(database_url)  # What a role may do in a database does not come with its template.
    await ensure(database_url, "messaging", READ_MODEL, MESSAGING.own_facts)
    opened = Queries(database_url, "messaging", MESSAGING.queries)
    await opened.open()
    yield opened
    await opened.close()


@pytest.mark.rule("MO5")
async def test_what_slipped_in_is_looked_for_once_the_read_model_has_reached_the_suspension(
    queries: Queries, database_url: str
) -> None:
    reacting = [asyncio.ensure_future(each) for each in waiting(queries)]
    await asyncio.sleep(0.1)
    assert not any(each.done() for each in reacting)

    projection = await reader(database_url, "messaging", "messaging_read")
    await projection.execute("update read_model_checkpoint set position = $1", POSITION)
    await projection.close()

    assert [list(await each) for each in reacting] == [[], []]


async def test_a_reaction_gives_up_on_a_read_model_that_stays_behind(
    queries: Queries, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kernel.queries.REACTION_SECONDS_MAX", 0.05)
    for reacting in waiting(queries):
        with pytest.raises(StoreUnavailable):
            await reacting


class Steps:
    """As many pieces of work as are given, and how often it was asked for one."""

    def __init__(self, work: int) -> None:
        self.work = work
        self.asked = 0

    async def step(self) -> bool:
        self.asked += 1
        self.work -= 1
        return self.work >= 0


async def test_work_is_done_without_a_pause_and_only_then_looked_for_less_often() -> None:
    steps = Steps(work=2)
    seldom = AtMostEvery(steps, 60.0)
    told: list[Any] = [await seldom.step() for _ in range(5)]
    assert told == [True, True, False, False, False]
    assert steps.asked == 3
