"""Load on something: workers that repeat a piece of work for a while, and the times they took."""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence

from tests.load.measuring import Reading

Work = Callable[[], Awaitable[None]]


def percentile(times: Sequence[float], hundredth: int) -> float:
    """Returns the value that so many hundredths are not above, by interpolation."""
    return statistics.quantiles(times, n=100, method="inclusive")[hundredth - 1] if len(times) > 1 else times[0]


def in_milliseconds(seconds: Sequence[float]) -> Reading:
    """Returns p50_ms and p99_ms."""
    return {"p50_ms": percentile(seconds, 50) * 1e3, "p99_ms": percentile(seconds, 99) * 1e3}


async def for_a_while(workers: Sequence[Work], seconds: float = 3.0) -> Reading:
    """Lets every worker repeat its work, each as soon as it is done. Returns per_second, p50_ms and p99_ms."""
    times: list[float] = []
    began = time.perf_counter()
    ends_at = began + seconds

    async def repeat(work: Work) -> None:
        at = time.perf_counter()
        while at < ends_at:
            await work()
            now = time.perf_counter()
            times.append(now - at)
            at = now

    await asyncio.gather(*(repeat(work) for work in workers))
    return {"per_second": len(times) / (time.perf_counter() - began), **in_milliseconds(times)}
