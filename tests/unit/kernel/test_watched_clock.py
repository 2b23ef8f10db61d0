"""A process whose clock is more than a second from its store's decides nothing, and says so (PL9)."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client import CollectorRegistry

from kernel.errors import ClockOff, StoreUnavailable
from kernel.freshness import WHOLE, LaneStatus
from kernel.metrics import Metrics
from kernel.watched_clock import GatesInTime, WatchedClock
from tests.unit.kernel.diary import NOW


class Machine:
    """A machine and a store whose clocks can be set, and a way between them that takes its time."""

    def __init__(self) -> None:
        self.store_ahead = 0.0
        self.wall_ahead = 0.0
        self.passed = 1_000.0
        self.there, self.back = 0.0, 0.0
        self.is_away = False
        self.metrics = Metrics(CollectorRegistry())
        self.clock = WatchedClock(self.store_time, self.metrics, wall=self.wall, monotonic=lambda: self.passed)

    def wall(self) -> float:
        return NOW.timestamp() + self.passed + self.wall_ahead

    async def store_time(self) -> datetime:
        if self.is_away:
            raise StoreUnavailable
        self.passed += self.there
        told = datetime.fromtimestamp(NOW.timestamp() + self.passed + self.store_ahead, UTC)
        self.passed += self.back
        return told

    @property
    def told(self) -> float | None:
        return self.metrics.registry.get_sample_value("holdspace_clock_offset_seconds")


async def test_nothing_is_decided_before_the_store_was_asked() -> None:
    it = Machine()
    with pytest.raises(ClockOff, match="not yet compared"):
        it.clock.check()
    await it.clock.compare()
    it.clock.check()


@pytest.mark.rule("PL9")
@pytest.mark.parametrize(
    ("ahead", "is_off"), [(0.0, False), (0.99, False), (-0.99, False), (1.01, True), (-1.01, True), (-3_600.0, True)]
)
async def test_a_clock_more_than_a_second_off_decides_nothing_until_it_is_set(ahead: float, is_off: bool) -> None:
    it = Machine()
    it.wall_ahead = ahead
    await it.clock.compare()
    assert it.clock.is_off() is is_off
    assert it.told == pytest.approx(ahead, abs=1e-3)
    it.wall_ahead = 0.0
    it.clock.check()


@pytest.mark.rule("PL9")
async def test_a_clock_that_is_set_between_two_looks_is_noticed_at_once() -> None:
    it = Machine()
    await it.clock.compare()
    it.wall_ahead = 300.0
    with pytest.raises(ClockOff, match=r"300\.000 s ahead of"):
        it.clock.check()


async def test_the_way_to_the_store_and_back_is_no_offset() -> None:
    it = Machine()
    it.there = it.back = 5.0
    await it.clock.compare()
    assert it.clock.offset_seconds() == pytest.approx(0.0, abs=1e-3)


async def test_an_answer_that_took_long_does_not_replace_what_is_better_known() -> None:
    it = Machine()
    await it.clock.compare()
    it.there, it.back = 0.0, 8.0  # half of it is taken for the way back, which is 4 s wrong
    await it.clock.compare()
    it.clock.check()
    it.store_ahead = 60.0
    await it.clock.compare()
    assert it.clock.is_off()


async def test_while_the_store_is_away_what_was_known_goes_on() -> None:
    it = Machine()
    await it.clock.compare()
    it.is_away = True
    running = asyncio.create_task(it.clock.run())
    await asyncio.sleep(0)
    it.passed += 3_600.0
    it.clock.check()
    await it.clock.stop()
    await running


@pytest.mark.rule("PL9")
async def test_who_asks_the_gates_with_a_clock_that_is_off_gets_no_answer() -> None:
    class Open:
        async def look(self) -> LaneStatus:
            return WHOLE

    it = Machine()
    await it.clock.compare()
    gates = GatesInTime(Open(), it.clock)
    assert await gates.look() is WHOLE
    it.wall_ahead = -timedelta(minutes=5).total_seconds()
    with pytest.raises(ClockOff):
        await gates.look()
