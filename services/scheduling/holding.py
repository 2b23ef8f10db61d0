"""Which of a client's places a hold takes. Its commit claims the place, so many at once do not get past the last."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

from kernel.commands import Handled
from kernel.errors import Rejected
from services.scheduling.domain.booking import HoldSlot
from services.scheduling.domain.policy import HOLDS_MAX


async def in_free_place(command: HoldSlot, run: Callable[[HoldSlot], Awaitable[Handled]]) -> Handled:
    """Runs the command in the first place that is free. Raises HOLDS_TOO_MANY when none is, and what `run` raises."""
    for place in range(1, HOLDS_MAX):
        try:
            return await run(replace(command, place=place))
        except Rejected as rejected:
            if rejected.reason != "HOLDS_TOO_MANY":
                raise
    return await run(replace(command, place=HOLDS_MAX))
