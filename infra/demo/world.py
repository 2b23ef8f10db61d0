"""The people of the demo and what they do, as calls to the running services."""

import asyncio
import random
import secrets
from collections.abc import Awaitable, Callable, Collection, Generator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import grpc

from holdspace.age_verification.v1.service_pb2 import SubmitProviderTokenRequest
from holdspace.messaging.v1.events_pb2 import EXPECTATION_REPLY, MESSAGE_KIND_TEXT
from holdspace.messaging.v1.service_pb2 import ImportLine, ImportMessagesRequest, SendMessageRequest
from holdspace.scheduling.v1.events_pb2 import WEEKDAY_MONDAY, WEEKDAY_SUNDAY, WeeklyRange
from holdspace.scheduling.v1.service_pb2 import (
    ConfirmBookingRequest,
    HoldSlotRequest,
    PublishContactHoursRequest,
)
from infra.callers import Callers
from infra.demo.history import Line, numbered
from infra.local import keys
from kernel.facts import open_envelope, timestamp
from kernel.grpc.client import reason_of

IMPORT_LINES_MAX = 500
PAUSE_SECONDS = 0.005
PATIENCE_SECONDS = 20.0

PASSING = frozenset(
    {
        "NOT_YET_VISIBLE",
        "STORE_UNAVAILABLE",
        "CONTENDED",
        "OVERLOADED",
        "GATE_STALE",
        "DRAINING",
        # What another service decided is still on its way.
        "THERAPIST_UNKNOWN",
        "REPORTER_UNKNOWN",
        "AGE_NOT_ASSURED",
    }
)
"""Reasons that time alone ends, so that the same request may be repeated."""

Call = Callable[[], Awaitable[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class Ask:
    """One intention: a request with one id. It is sent when awaited, and sent again each time it is awaited again."""

    call: Callable[[Any], Awaitable[Any]]
    request: Any

    def __await__(self) -> Generator[Any, Any, Any]:
        return self.call(self.request).__await__()


def fresh() -> str:
    return secrets.token_hex(8)


async def refusal(call: Awaitable[Any]) -> str:
    """Returns the reason a call was refused for, an empty string when it was not."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return reason_of(error)[0] or error.code().name
    return ""


@dataclass(slots=True)
class World:
    """`name` is part of every person's id, so that one demo does not meet the people of another."""

    callers: Callers
    data: Path
    database_url: str
    name: str = field(default_factory=lambda: f"demo-{secrets.token_hex(3)}")

    def person(self, who: str) -> str:
        return f"{self.name}-{who}"

    async def bring_history(self, lines: Sequence[Line]) -> tuple[int, str]:
        """Imports the lines. Returns how many had an effect, and the revision at which all are visible."""
        imported, revision = 0, ""
        for batch in numbered(lines, IMPORT_LINES_MAX):
            messages = [
                ImportLine(
                    line=number,
                    sender_id=line.sender,
                    recipient_id=line.recipient,
                    sent_at=timestamp(line.sent_at),
                    sender=line.side,
                )
                for number, line in batch
            ]
            request = ImportMessagesRequest(
                request_id=fresh(), source=self.name, operator_id="operator", lines=messages
            )
            told = await self.callers.messaging.ImportMessages(request, timeout=60)
            imported, revision = imported + told.imported, told.revision
        return imported, revision

    def write(self, client: str, therapist: str, sender: str = "") -> Ask:
        """A message that expects a reply; the platform sees its size and nothing else."""
        request = SendMessageRequest(
            request_id=fresh(),
            sender_id=sender or client,
            client_id=client,
            therapist_id=therapist,
            body=random.randbytes(64),
            expects=EXPECTATION_REPLY,
            kind=MESSAGE_KIND_TEXT,
        )
        return Ask(self.callers.messaging.SendMessage, request)

    async def open_all_week(self, therapist: str) -> None:
        """Contact hours around the clock, so that the demo works at any hour it is started."""
        days = range(WEEKDAY_MONDAY, WEEKDAY_SUNDAY + 1)
        ranges = [WeeklyRange(weekday=day, start_minute=0, end_minute=1440) for day in days]  # type: ignore[arg-type]  # every number of the range is a weekday
        request = PublishContactHoursRequest(
            request_id=fresh(), therapist_id=therapist, time_zone="Europe/Berlin", ranges=ranges
        )
        await until(Ask(self.callers.scheduling.PublishContactHours, request))

    async def prove_age(self, client: str, *, over_18: bool = True) -> None:
        token = keys.mint_age_token(self.data, client_id=client, over_18=over_18)
        request = SubmitProviderTokenRequest(request_id=fresh(), client_id=client, token=token)
        await self.callers.age_verification.SubmitProviderToken(request)

    def hold(self, client: str, therapist: str, starts_at: datetime) -> Ask:
        ends_at = starts_at + timedelta(minutes=50)
        request = HoldSlotRequest(
            request_id=fresh(),
            client_id=client,
            therapist_id=therapist,
            starts_at=timestamp(starts_at),
            ends_at=timestamp(ends_at),
        )
        return Ask(self.callers.scheduling.HoldSlot, request)

    def confirm(self, client: str, booking_id: str) -> Ask:
        request = ConfirmBookingRequest(request_id=fresh(), client_id=client, booking_id=booking_id)
        return Ask(self.callers.scheduling.ConfirmBooking, request)

    async def book(self, client: str, therapist: str, starts_at: datetime) -> str:
        """Holds and confirms. Returns the booking's id."""
        held = await until(self.hold(client, therapist, starts_at))
        await until(self.confirm(client, held.booking_id))
        return str(held.booking_id)

    async def recorded(self, service: str, stream: str, fact_type: str) -> datetime | None:
        """Returns when the service's store recorded its last fact of the type in the stream."""
        settings = {"role": f"{service}_api", "search_path": service}
        connection = await asyncpg.connect(self.database_url, server_settings=settings)
        try:
            sql = "select fact, recorded_at from facts_of($1) order by version desc"
            rows = await connection.fetch(sql, stream)
        finally:
            await connection.close()
        times = [row["recorded_at"] for row in rows if open_envelope(row["fact"]).type.endswith(f".{fact_type}")]
        return times[0] if times else None


async def until(
    ask: Ask,
    seconds_max: float = PATIENCE_SECONDS,
    *,
    also: Collection[str] = (),
) -> Any:  # noqa: ANN401 - the call's response
    """Repeats one request, with its id, while it is refused for a passing reason or one of `also`.

    Raises any other error at once, and the last refusal when patience ends.
    """
    deadline = asyncio.get_running_loop().time() + seconds_max
    while True:
        try:
            return await ask
        except grpc.aio.AioRpcError as error:
            is_passing = reason_of(error)[0] in {*PASSING, *also}
            if not is_passing or asyncio.get_running_loop().time() > deadline:
                raise
        await asyncio.sleep(PAUSE_SECONDS)


async def first_refusal(
    call: Call, began: float, seconds_max: float = PATIENCE_SECONDS, besides: str = ""
) -> tuple[str, float]:
    """Repeats a call until it is refused for another reason than `besides`. Returns the reason and the milliseconds
    since `began` on the loop's clock.
    """
    loop = asyncio.get_running_loop()
    while loop.time() - began < seconds_max:
        reason = await refusal(call())
        if reason and reason != besides:
            return reason, (loop.time() - began) * 1000
        await asyncio.sleep(PAUSE_SECONDS)
    return "", seconds_max * 1000


def tomorrow(hour: int) -> datetime:
    """Returns an hour of tomorrow, UTC."""
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return today + timedelta(days=1, hours=hour)
