"""Reading one's own writes: what a mutation answers, and what a read waits for."""

from typing import Protocol

from kernel.errors import Rejected
from kernel.grpc.call import current_call
from kernel.grpc.revision import Revision, at_least


class ReadModelPosition(Protocol):
    async def wait_for(self, position: int, deadline: float) -> None:
        """Raises Rejected NOT_YET_VISIBLE when the read model has not reached it by the deadline."""
        ...


class Reads:
    """`source`: service, cell and epoch of the store whose positions revisions name."""

    def __init__(self, source: str, read_model: ReadModelPosition) -> None:
        self._source = source
        self._read_model = read_model

    def revision(self, position: int) -> str:
        """Takes the position a command reached. Returns what the caller hands to at_least."""
        return Revision(self._source, position).encode()

    async def wait(self, revision: str) -> None:
        """Takes a request's at_least; waits for it within the call's deadline.

        Raises Rejected FIELD_MALFORMED, also for a revision of another store, or NOT_YET_VISIBLE.
        """
        wanted = at_least(revision)
        if wanted is None:
            return
        if wanted.source != self._source:
            raise Rejected("FIELD_MALFORMED", "at_least")
        await self._read_model.wait_for(wanted.position, current_call().deadline)
