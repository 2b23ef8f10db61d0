"""The event store's contract. Two adapters keep it, Postgres and memory, held to one suite (tests/contract)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, IntEnum
from types import MappingProxyType
from typing import NamedTuple, Protocol

# What is made for every fact is a NamedTuple: making a frozen dataclass takes three times as long.


class Outcome(IntEnum):
    """What became of an append. The numbers are those of the SQL function."""

    APPENDED = 0
    REQUEST_SEEN = 1  # the same request was accepted before: stream, version and position are those of that time
    REQUEST_REUSED = 2  # the request id was used with another payload
    STALE = 3  # the stream is not at the expected version
    DEPENDENCY_MOVED = 4  # a stream the decision read is not at the version it read
    CLAIM_TAKEN = 5  # another stream holds what this one claims


class RequestKind(Enum):
    """Requests are remembered by kind: calls for at least 30 days, reactions and timers for at least 7."""

    CALL = "call"
    REACTION = "reaction"


class Request(NamedTuple):
    """The identity of a command. `key`: 32 bytes over (caller, method, request id). `digest`: 32 over its payload."""

    key: bytes
    digest: bytes
    kind: RequestKind = RequestKind.CALL


@dataclass(frozen=True, slots=True)
class NameClaim:
    """What only one stream may hold, for ever or until released, such as a provider's receipt."""

    name: str


@dataclass(frozen=True, slots=True)
class RangeClaim:
    """A half-open time range of a resource that only one stream may hold; a hold names when it expires."""

    resource: str
    start: datetime
    end: datetime
    expires_at: datetime | None = None


Claim = NameClaim | RangeClaim


@dataclass(frozen=True, slots=True)
class Timer:
    """Due once at an instant of business time. Setting a name again replaces it."""

    name: str
    due_at: datetime


@dataclass(frozen=True, slots=True)
class TimerDue:
    stream: str
    name: str
    due_at: datetime


class Attachment(NamedTuple):
    """Bytes too large or too private for a fact, which carries their id, size and digest. They can be erased."""

    id: str
    content: bytes


class Append(NamedTuple):
    stream: str
    expected_version: int  # 0: the stream has no facts yet
    facts: Sequence[bytes]  # sealed envelopes; may be empty
    request: Request
    depends_on: Mapping[str, int] = MappingProxyType({})
    claims: Sequence[Claim] = ()
    releases: Sequence[str] = ()  # names and resources this stream holds; applied before claims
    timers: Sequence[Timer] = ()
    cancelled_timers: Sequence[str] = ()
    attachments: Sequence[Attachment] = ()
    urgent: bool = False  # standing and reports go first
    deadline: float | None = None  # on the event loop's clock, seconds; dropped when passed before it is sent

    @property
    def goes_alone(self) -> bool:
        """Says whether it cannot be one of many: it holds, frees or times something."""
        return bool(self.claims or self.releases or self.timers or self.cancelled_timers)


def must_go_together(appends: Sequence[Append]) -> None:
    """Raises ValueError for appends that `append_all` does not take."""
    if alone := [append.stream for append in appends if append.goes_alone]:
        raise ValueError(f"appends that claim, release or set timers go one by one: {', '.join(alone)}")


class Appended(NamedTuple):
    """`position`: of the append's last fact, or the store's head when it had none: what a reader must reach to see it.
    `holder`, `held_until` and `claim` are set for CLAIM_TAKEN: the stream that holds, when its hold expires, if it
    does, and the name or the resource that both claim. Of several it is any.
    """

    outcome: Outcome
    stream: str
    version: int = 0
    position: int = 0
    holder: str = ""
    held_until: datetime | None = None
    claim: str = ""


class Recorded(NamedTuple):
    """A fact as the store keeps it."""

    position: int
    stream: str
    version: int
    recorded_at: datetime
    fact: bytes


class EventStore(Protocol):
    async def append(self, append: Append) -> Appended:
        """Appends all or nothing.

        Raises StoreUnavailable when the store cannot be reached or the connection was lost before the append took
        effect, Overloaded when the queue is full, DeadlinePassed when the deadline went by before it was sent, Poison
        when the store can never take it (a NUL in a name, a name too long). A refusal is an outcome.
        """
        ...

    async def append_all(self, appends: Sequence[Append]) -> Sequence[Appended | None]:
        """Takes appends of which none `goes_alone`; those of one stream come in a row, each at the version that the one
        before leads to. Each is all or nothing and keeps its own request.

        Returns for each what was appended, None for one that was refused or failed and for those of its stream behind
        it, which are not appended either. Raises StoreUnavailable when the store is closed, Overloaded, ValueError for
        an append that goes alone.
        """
        ...

    async def find_request(self, request: Request) -> Appended | None:
        """Returns REQUEST_SEEN or REQUEST_REUSED for a request that was accepted before, None for another."""
        ...

    async def read_stream(self, stream: str, after_version: int = 0, up_to: int | None = None) -> Sequence[Recorded]:
        """Returns the stream's facts in order, from the primary."""
        ...

    async def read_all(self, after_position: int, limit: int) -> Sequence[Recorded]:
        """Returns facts by position, dense and in the order of their commits: none can appear below one seen."""
        ...

    async def head(self) -> int:
        """Returns the position of the last fact, 0 when there is none."""
        ...

    async def attachment(self, attachment_id: str) -> bytes | None: ...

    async def holders(self, resource: str, after: datetime) -> Sequence[str]:
        """Returns the streams that hold a range of the resource ending after the instant, by start."""
        ...

    async def take_due_timers(self, now: datetime, limit: int) -> Sequence[TimerDue]:
        """Returns timers due by now, oldest first. They stay until `finish_timer`."""
        ...

    async def finish_timer(self, timer: TimerDue) -> None:
        """Removes the timer if it still has this due time."""
        ...

    async def checkpoint(self, name: str) -> int | None:
        """Returns how far a reader of this name has come, None when it never saved."""
        ...

    async def save_checkpoint(self, name: str, position: int) -> None: ...

    async def forget_old_requests(self) -> None:
        """Forgets requests accepted two periods of their kind ago. Cheap when no period is over."""
        ...

    async def wait_for_append(self, seconds_max: float) -> None:
        """Returns when facts may have been appended, by whatever process, or after the time."""
        ...
