"""What an answer rests on: settled for the first page of a list, and carried by its tokens to the last."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import ClassVar

from holdspace.response_sla.v1 import service_pb2
from holdspace.response_sla.v1.service_pb2 import (
    GetFiguresRequest,
    GetFiguresUnderPolicyRequest,
    ListFiguresRequest,
    ListWaitsRequest,
)
from kernel.errors import Rejected
from kernel.facts import EPOCH, instant, timestamp
from kernel.queries import Queries
from services.response_sla.completeness import Completeness

FIRST = datetime.min.replace(tzinfo=UTC)
LAST = datetime.max.replace(tzinfo=UTC)


Filters = GetFiguresRequest | GetFiguresUnderPolicyRequest | ListWaitsRequest | ListFiguresRequest


@dataclass(frozen=True, slots=True)
class Window:
    """The waits opened in [start, end)."""

    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Basis:
    KINDS: ClassVar = (datetime, datetime, int)  # of what a page token carries of it

    as_of: datetime
    known_on: datetime
    position: int

    def token(self) -> tuple[datetime, datetime, int]:
        return self.as_of, self.known_on, self.position

    def message(self, complete_until: datetime | None) -> service_pb2.Basis:
        return service_pb2.Basis(
            as_of=timestamp(self.as_of),
            known_on=timestamp(self.known_on),
            position=self.position,
            complete_until=timestamp(complete_until) if complete_until else None,
        )


def window(request: Filters) -> Window:
    """Raises Rejected FIELD_MALFORMED for a window without an inside."""
    start = instant(request.opened_from) if request.HasField("opened_from") else FIRST
    end = instant(request.opened_before) if request.HasField("opened_before") else LAST
    if end <= start:
        raise Rejected("FIELD_MALFORMED", "opened_before")
    return Window(start, end)


async def settle(request: Filters, queries: Queries, completeness: Completeness) -> Basis:
    """Returns the basis of a first page, or of an answer that has one page."""
    if request.HasField("known_on"):
        rows = await queries.rows("known_on", instant(request.known_on))
        latest = instant(request.known_on)
    else:
        latest_complete = completeness.complete.until  # Before the rows: they may know more, never less.
        rows = await queries.rows("known_now")
        latest = latest_complete or (rows[0]["recorded_at"] if rows else EPOCH)
    position, known_on = rows[0] if rows else (0, EPOCH)
    return Basis(instant(request.as_of) if request.HasField("as_of") else latest, known_on, position)
