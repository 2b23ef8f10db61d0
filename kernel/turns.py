"""Whose turn it is on a stream."""

import asyncio
from collections import deque


class Turns:
    """Commands on one stream take turns, so that those of one process never make each other stale."""

    def __init__(self) -> None:
        # By stream whose turn is taken: who waits for it. A dictionary of locks would make and drop one per command.
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}

    def take_free(self, stream: str) -> bool:
        """Takes the turn if nobody has it, and says whether it did."""
        if stream in self._waiting:
            return False
        self._waiting[stream] = deque()
        return True

    async def take(self, stream: str) -> None:
        """Waits for the turn, behind those who came before."""
        if self.take_free(stream):
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[stream].append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # It was given the turn in the same moment.
                self.give_back(stream)
            raise

    def give_back(self, stream: str) -> None:
        """Hands the turn to the next who waits."""
        waiting = self._waiting[stream]
        while waiting:
            turn = waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        del self._waiting[stream]
