"""Waiting: for an event, for the first of several things to end; and cancels, which must not be lost."""

import asyncio
from collections.abc import Coroutine
from typing import Any


def is_being_cancelled() -> bool:
    """Whether somebody asked the running task to end. Libraries let cancels of tasks of their own escape."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def happens(event: asyncio.Event, seconds_max: float) -> bool:
    """Waits for the event. Returns whether it was set within the time.

    `asyncio.wait_for` of Python 3.11 loses a cancel that comes together with what it waits for
    (https://github.com/python/cpython/issues/86296): the task would go on, and whoever stops it wait for ever.
    """
    try:
        async with asyncio.timeout(seconds_max):
            return await event.wait()
    except TimeoutError:
        return False


async def first_to_end(*coroutines: Coroutine[Any, Any, Any]) -> None:
    """Runs all, returns when the first has ended and the others are cancelled; raises what the first one raised.

    One that ends by a cancel nobody here asked for has failed: RuntimeError, or its role would end without a word.
    """
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    try:
        ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in ended:
        if task.cancelled():
            raise RuntimeError("cancelled from inside")
        task.result()
