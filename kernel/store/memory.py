"""The event store in memory: the same contract, for simulations and unit tests. It forgets nothing until it ends."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime

from kernel.clock import Clock
from kernel.errors import DeadlinePassed, Poison
from kernel.store.interface import (
    Append,
    Appended,
    Attachment,
    NameClaim,
    Outcome,
    RangeClaim,
    Recorded,
    Request,
    TimerDue,
    must_go_together,
)
from kernel.tasks import happens

NAME_BYTES_MAX = 2600  # what an index of Postgres takes


@dataclass(frozen=True, slots=True)
class _Held:
    stream: str
    claim: NameClaim | RangeClaim


@dataclass(slots=True)
class _Tables:
    facts: list[Recorded] = field(default_factory=list)
    streams: dict[str, list[Recorded]] = field(default_factory=lambda: defaultdict(list))
    requests: dict[tuple[str, bytes], tuple[bytes, str, int]] = field(default_factory=dict)
    held: list[_Held] = field(default_factory=list)
    timers: dict[tuple[str, str], TimerDue] = field(default_factory=dict)
    attachments: dict[str, Attachment] = field(default_factory=dict)
    checkpoints: dict[str, int] = field(default_factory=dict)


class MemoryStore:
    """An append is one step that nothing interleaves with."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tables = _Tables()
        self._appended = asyncio.Event()

    async def append(self, append: Append) -> Appended:
        if append.deadline is not None and append.deadline <= asyncio.get_running_loop().time():
            raise DeadlinePassed
        _refuse_what_no_store_takes(append)
        await asyncio.sleep(0)  # As with a real store, others may run before the answer.
        refused = await self.find_request(append.request) or self._moved(append) or self._taken(append)
        return refused or self._commit(append)

    def _moved(self, append: Append) -> Appended | None:
        if self._version(append.stream) != append.expected_version:
            return Appended(Outcome.STALE, append.stream)
        if any(self._version(stream) != version for stream, version in append.depends_on.items()):
            return Appended(Outcome.DEPENDENCY_MOVED, append.stream)
        return None

    def _taken(self, append: Append) -> Appended | None:
        for claim in append.claims:
            for held in self._tables.held:
                if self._released(append, held) or not _collide(claim, held.claim):
                    continue
                until = held.claim.expires_at if isinstance(held.claim, RangeClaim) else None
                name = _name_of(claim)
                return Appended(Outcome.CLAIM_TAKEN, append.stream, holder=held.stream, held_until=until, claim=name)
        return None

    def _commit(self, append: Append) -> Appended:
        tables = self._tables
        recorded_at = self._clock.now()
        if tables.facts:
            recorded_at = max(recorded_at, tables.facts[-1].recorded_at)
        for number, fact in enumerate(append.facts, 1):
            version = append.expected_version + number
            recorded = Recorded(len(tables.facts) + 1, append.stream, version, recorded_at, fact)
            tables.facts.append(recorded)
            tables.streams[append.stream].append(recorded)
        version = append.expected_version + len(append.facts)
        tables.requests[append.request.kind.value, append.request.key] = (append.request.digest, append.stream, version)
        tables.held = [held for held in tables.held if not self._released(append, held)]
        tables.held += [_Held(append.stream, claim) for claim in append.claims]
        for name in append.cancelled_timers:
            tables.timers.pop((append.stream, name), None)
        for timer in append.timers:
            tables.timers[append.stream, timer.name] = TimerDue(append.stream, timer.name, timer.due_at)
        tables.attachments.update({attachment.id: attachment for attachment in append.attachments})
        self._appended.set()
        return Appended(Outcome.APPENDED, append.stream, version, len(tables.facts))

    def _version(self, stream: str) -> int:
        return len(self._tables.streams.get(stream, ()))

    @staticmethod
    def _released(append: Append, held: _Held) -> bool:
        return held.stream == append.stream and _name_of(held.claim) in append.releases

    async def find_request(self, request: Request) -> Appended | None:
        found = self._tables.requests.get((request.kind.value, request.key))
        if found is None:
            return None
        digest, stream, version = found
        outcome = Outcome.REQUEST_SEEN if digest == request.digest else Outcome.REQUEST_REUSED
        position = self._tables.streams[stream][version - 1].position if version else len(self._tables.facts)
        return Appended(outcome, stream, version, position)

    async def append_all(self, appends: Sequence[Append]) -> Sequence[Appended | None]:
        must_go_together(appends)
        told: list[Appended | None] = []
        cut_off: set[str] = set()
        for append in appends:
            appended = None
            if append.stream not in cut_off:
                with suppress(DeadlinePassed, Poison):
                    appended = await self.append(append)
            if appended is None or appended.outcome is not Outcome.APPENDED:
                cut_off.add(append.stream)
                appended = None
            told.append(appended)
        return told

    async def read_stream(self, stream: str, after_version: int = 0, up_to: int | None = None) -> Sequence[Recorded]:
        return self._tables.streams.get(stream, [])[after_version:up_to]

    async def read_all(self, after_position: int, limit: int) -> Sequence[Recorded]:
        return self._tables.facts[after_position : after_position + limit]

    async def head(self) -> int:
        return len(self._tables.facts)

    async def attachment(self, attachment_id: str) -> bytes | None:
        attachment = self._tables.attachments.get(attachment_id)
        return attachment.content if attachment else None

    async def holders(self, resource: str, after: datetime) -> Sequence[str]:
        ranges = [(held.claim, held.stream) for held in self._tables.held if isinstance(held.claim, RangeClaim)]
        found = [(claim.start, stream) for claim, stream in ranges if claim.resource == resource and after < claim.end]
        return [stream for _, stream in sorted(found)]

    async def take_due_timers(self, now: datetime, limit: int) -> Sequence[TimerDue]:
        due = [timer for timer in self._tables.timers.values() if timer.due_at <= now]
        return sorted(due, key=lambda timer: timer.due_at)[:limit]

    async def finish_timer(self, timer: TimerDue) -> None:
        if self._tables.timers.get((timer.stream, timer.name)) == timer:
            del self._tables.timers[timer.stream, timer.name]

    async def checkpoint(self, name: str) -> int | None:
        return self._tables.checkpoints.get(name)

    async def save_checkpoint(self, name: str, position: int) -> None:
        self._tables.checkpoints[name] = position

    async def forget_old_requests(self) -> None:
        """Memory forgets nothing until it ends."""

    async def wait_for_append(self, seconds_max: float) -> None:
        await happens(self._appended, seconds_max)
        self._appended.clear()


def _name_of(claim: NameClaim | RangeClaim) -> str:
    return claim.name if isinstance(claim, NameClaim) else claim.resource


def _collide(wanted: NameClaim | RangeClaim, held: NameClaim | RangeClaim) -> bool:
    if isinstance(wanted, RangeClaim) and isinstance(held, RangeClaim):
        return wanted.resource == held.resource and wanted.start < held.end and held.start < wanted.end
    return wanted == held


def _refuse_what_no_store_takes(append: Append) -> None:
    names = [append.stream, *append.depends_on, *(c.name for c in append.claims if isinstance(c, NameClaim))]
    if any("\0" in name for name in names):
        raise Poison("a NUL in a name")
    if any(len(name.encode()) > NAME_BYTES_MAX for name in names):
        raise Poison("a name too long")
    if any(isinstance(claim, RangeClaim) and claim.start > claim.end for claim in append.claims):
        raise Poison("a range that ends before it starts")
    # Two claims of one append may exclude each other.
    for place, claim in enumerate(append.claims):
        if any(_collide(claim, other) for other in append.claims[:place]):
            raise Poison("claims that exclude each other")
