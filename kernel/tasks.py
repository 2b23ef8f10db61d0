"""Waiting: for an event, for the first of several things to end; and cancels, which must not be lost."""

import asyncio
from collections.abc import Coroutine
from typing import Any

CANCEL_AGAIN_SECONDS = 0.5


def is_being_cancelled() -> bool:
    """Whether somebody asked the running task to end. Libraries let cancels of tasks of their own escape."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def waiting_at(loop: asyncio.AbstractEventLoop) -> list[str]:
    """Returns where the tasks of a loop stand, each as function and line. May be called from another thread."""
    return sorted(filter(None, (_place(task.get_coro()) for task in asyncio.all_tasks(loop))))


def _place(awaited: object) -> str:
    """Returns the chain of what is awaited, from the outside in; generators in between end it."""
    places = []
    while (frame := getattr(awaited, "cr_frame", None)) is not None:
        places.append(f"{frame.f_code.co_qualname}:{frame.f_lineno}")
        awaited = getattr(awaited, "cr_await", None)
    return " > ".join(places)


async def until_stopped(work: Coroutine[Any, Any, None], stopping: asyncio.Event, seconds: float) -> None:
    """Returns when the work does. It is expected to end by itself once `stopping` is set; after so many seconds more it
    is cancelled, again and again: its own clean-up may wait for what does not answer. Raises what the work raises.
    """
    task, asked = asyncio.ensure_future(work), asyncio.ensure_future(stopping.wait())
    try:
        await asyncio.wait([task, asked], return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            await asyncio.wait([task], timeout=seconds)
    finally:
        asked.cancel()
        while not task.done():
            task.cancel()
            await asyncio.wait([task], timeout=CANCEL_AGAIN_SECONDS)
    if not task.cancelled():
        task.result()
    elif not stopping.is_set():
        raise RuntimeError("cancelled from inside")


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
