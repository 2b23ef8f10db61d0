from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from kernel.clock import SystemClock
from kernel.store.interface import EventStore
from kernel.store.memory import MemoryStore
from kernel.store.postgres import PostgresStore

START = datetime(2026, 1, 5, 9, tzinfo=UTC)


class Counted:
    """Keeps what the store counted, for tests that ask."""

    def __init__(self) -> None:
        self.outcomes: list[str] = []
        self.batches: list[int] = []

    def appended(self, outcome: str, count: int) -> None:
        self.outcomes += [outcome] * count

    def batch(self, appends: int, waiting: int) -> None:
        self.batches.append(appends)


@pytest.fixture
async def postgres_store(database_url: str) -> AsyncIterator[PostgresStore]:
    store = PostgresStore(database_url, "messaging", Counted())
    await store.open()
    yield store
    await store.close()


@pytest.fixture(params=["memory", "postgres"])
def store(request: pytest.FixtureRequest) -> EventStore:
    if request.param == "memory":
        return MemoryStore(SystemClock())
    adapter: PostgresStore = request.getfixturevalue("postgres_store")
    return adapter
