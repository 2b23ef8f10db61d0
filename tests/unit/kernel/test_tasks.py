"""Waiting without losing a cancel."""

import asyncio

import pytest

from kernel.tasks import happens


async def test_says_whether_the_event_came_in_time() -> None:
    event = asyncio.Event()
    assert not await happens(event, 0.01)
    event.set()
    assert await happens(event, 0.01)


async def test_a_cancel_that_comes_together_with_the_event_is_not_lost() -> None:
    event = asyncio.Event()
    waiting = asyncio.create_task(happens(event, 60))
    await asyncio.sleep(0.01)
    event.set()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
