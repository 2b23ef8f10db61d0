"""A seeded load: what people of a small practice do, all at once, with calls in flight at every service."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from holdspace.age_verification.v1.service_pb2 import (
    GetAgeStatusRequest,
    RevokeAssuranceRequest,
    SubmitProviderTokenRequest,
)
from holdspace.messaging.v1.events_pb2 import EXPECTATION_NONE, EXPECTATION_REPLY, MESSAGE_KIND_TEXT
from holdspace.messaging.v1.service_pb2 import SendMessageRequest
from holdspace.moderation.v1.events_pb2 import (
    FINDING_DISMISSED,
    FINDING_UPHELD,
    REINSTATEMENT_LIFTED,
    REINSTATEMENT_REVERSED,
    SEVERITY_DANGER,
    SEVERITY_HARASSMENT,
    SEVERITY_SPAM,
)
from holdspace.moderation.v1.service_pb2 import (
    DecideReportRequest,
    ReinstateClientRequest,
    ReportClientRequest,
    SuspendClientRequest,
)
from holdspace.response_sla.v1.service_pb2 import GetFiguresRequest
from holdspace.scheduling.v1.events_pb2 import WEEKDAY_MONDAY, WEEKDAY_SUNDAY, WeeklyRange
from holdspace.scheduling.v1.service_pb2 import (
    CancelBookingRequest,
    ConfirmBookingRequest,
    EnrolTherapistRequest,
    HoldSlotRequest,
    PublishContactHoursRequest,
)
from infra.local import keys
from kernel.facts import timestamp
from services.moderation.domain.policy import DEFAULT
from tests.faults.caller import Caller

THERAPISTS = 5
CLIENTS = 12
ASSURED = 9  # of the clients, in the beginning; one more is under age
SLOTS = 40  # hours from tomorrow on
THINK_SECONDS = (0.0, 0.04)

Act = Callable[[], Awaitable[None]]


@dataclass(slots=True)
class Load:
    """`prefix` begins the id of everyone in it, and of every request."""

    prefix: str
    caller: Caller
    credentials: Path
    chance: random.Random
    held: list[tuple[str, str]] = field(default_factory=list)
    booked: list[tuple[str, str]] = field(default_factory=list)
    reports: list[tuple[str, str]] = field(default_factory=list)
    stopped: asyncio.Event = field(default_factory=asyncio.Event)
    _requests: int = 0

    @property
    def therapists(self) -> list[str]:
        return [f"{self.prefix}-t{number}" for number in range(THERAPISTS)]

    @property
    def clients(self) -> list[str]:
        return [f"{self.prefix}-c{number}" for number in range(CLIENTS)]

    async def prepare(self) -> None:
        """Therapists that can be written to and booked, clients whose age is known, a conversation of most pairs."""
        await asyncio.gather(*map(self._open_practice, self.therapists))
        await asyncio.gather(*(self._prove_age(client) for client in self.clients[:ASSURED]))
        await self._prove_age(self.clients[ASSURED], over_18=False)

    async def run(self) -> None:
        """Goes on until `stopped`, and returns when everything that was begun is answered or given up."""
        kinds: Sequence[Act] = (
            self._write, self._write, self._write, self._book, self._book, self._moderate, self._moderate, self._age,
            self._age, self._read, self._read,
        )  # fmt: skip
        await asyncio.gather(*(self._work(kind) for kind in kinds))

    async def _work(self, act: Act) -> None:
        while not self.stopped.is_set():
            await act()
            await asyncio.sleep(self.chance.uniform(*THINK_SECONDS))

    def _id(self) -> str:
        self._requests += 1
        return f"{self.prefix}-r{self._requests}"

    async def _open_practice(self, therapist: str) -> None:
        ask, operator = self.caller.ask, f"{self.prefix}-operator"
        await ask(
            "scheduling",
            "EnrolTherapist",
            EnrolTherapistRequest(request_id=self._id(), operator_id=operator, therapist_id=therapist),
        )
        ranges = [
            WeeklyRange(weekday=day, start_minute=0, end_minute=1440)  # type: ignore[arg-type]  # every number of the range is a weekday
            for day in range(WEEKDAY_MONDAY, WEEKDAY_SUNDAY + 1)
        ]
        await ask(
            "scheduling",
            "PublishContactHours",
            PublishContactHoursRequest(
                request_id=self._id(), therapist_id=therapist, time_zone="Europe/Berlin", ranges=ranges
            ),
        )

    async def _write(self) -> None:
        client, therapist = self.chance.choice(self.clients), self.chance.choice(self.therapists)
        by_therapist = self.chance.random() < 0.35
        await self.caller.ask(
            "messaging",
            "SendMessage",
            SendMessageRequest(
                request_id=self._id(),
                sender_id=therapist if by_therapist else client,
                client_id=client,
                therapist_id=therapist,
                body=self.chance.randbytes(64),
                expects=EXPECTATION_REPLY if self.chance.random() < 0.8 else EXPECTATION_NONE,
                kind=MESSAGE_KIND_TEXT,
                automatic=by_therapist and self.chance.random() < 0.2,
            ),
        )

    async def _book(self) -> None:
        if self.booked and self.chance.random() < 0.2:
            await self._cancel()
            return
        if self.held and self.chance.random() < 0.5:
            await self._confirm()
            return
        client, therapist = self.chance.choice(self.clients), self.chance.choice(self.therapists)
        starts_at = tomorrow() + timedelta(hours=self.chance.randrange(SLOTS), minutes=self.chance.choice((0, 30)))
        held = await self.caller.ask(
            "scheduling",
            "HoldSlot",
            HoldSlotRequest(
                request_id=self._id(),
                client_id=client,
                therapist_id=therapist,
                starts_at=timestamp(starts_at),
                ends_at=timestamp(starts_at + timedelta(minutes=50)),
            ),
        )
        if held is not None:
            self.held.append((client, held.booking_id))

    async def _confirm(self) -> None:
        client, booking_id = self.held.pop(self.chance.randrange(len(self.held)))
        request = ConfirmBookingRequest(request_id=self._id(), client_id=client, booking_id=booking_id)
        if await self.caller.ask("scheduling", "ConfirmBooking", request) is not None:
            self.booked.append((client, booking_id))
        else:
            await self._give_up(client, booking_id)

    async def _cancel(self) -> None:
        await self._give_up(*self.booked.pop(self.chance.randrange(len(self.booked))))

    async def _give_up(self, client: str, booking_id: str) -> None:
        request = CancelBookingRequest(request_id=self._id(), participant_id=client, booking_id=booking_id)
        await self.caller.ask("scheduling", "CancelBooking", request)

    async def _moderate(self) -> None:
        """Reports by therapists, measures and lifts by moderators, so that standings go back and forth."""
        client = self.chance.choice(self.clients)
        what = self.chance.random()
        if what < 0.4:
            await self._report(client)
        elif what < 0.5 and self.reports:
            client, report_id = self.chance.choice(self.reports)
            finding = self.chance.choice((FINDING_UPHELD, FINDING_DISMISSED))
            await self._moderator("DecideReport", DecideReportRequest, client, report_id=report_id, finding=finding)
        elif what < 0.7:
            await self._moderator("SuspendClient", SuspendClientRequest, client, policy_version=DEFAULT.version)
        else:
            why = self.chance.choice((REINSTATEMENT_LIFTED, REINSTATEMENT_REVERSED))
            await self._moderator("ReinstateClient", ReinstateClientRequest, client, reinstatement=why)

    async def _moderator(self, method: str, request: Any, client: str, **more: Any) -> None:
        asked = request(request_id=self._id(), moderator_id=f"{self.prefix}-moderator", client_id=client, **more)
        await self.caller.ask("moderation", method, asked)

    async def _report(self, client: str) -> None:
        severity = self.chance.choices((SEVERITY_SPAM, SEVERITY_HARASSMENT, SEVERITY_DANGER), (6, 3, 1))[0]
        reporter = self.chance.choice(self.therapists)
        request = ReportClientRequest(request_id=self._id(), reporter_id=reporter, client_id=client, severity=severity)
        told = await self.caller.ask("moderation", "ReportClient", request)
        if told is not None:
            self.reports.append((client, told.report_id))

    async def _age(self) -> None:
        client = self.chance.choice(self.clients[:ASSURED])
        if self.chance.random() < 0.8:
            await self._prove_age(client)
        else:
            operator = f"{self.prefix}-operator"
            request = RevokeAssuranceRequest(request_id=self._id(), operator_id=operator, client_id=client)
            await self.caller.ask("age_verification", "RevokeAssurance", request)

    async def _prove_age(self, client: str, *, over_18: bool = True) -> None:
        # Longer than any round: the same token has to be good when it is handed in again.
        token = keys.mint_age_token(self.credentials, client_id=client, over_18=over_18, lifetime_seconds=3600)
        request = SubmitProviderTokenRequest(request_id=self._id(), client_id=client, token=token)
        await self.caller.ask("age_verification", "SubmitProviderToken", request)

    async def _read(self) -> None:
        if self.chance.random() < 0.3:
            asked = GetAgeStatusRequest(client_id=self.chance.choice(self.clients))
            await self.caller.ask("age_verification", "GetAgeStatus", asked)
        else:
            figures = GetFiguresRequest(therapist_id=self.chance.choice(self.therapists))
            await self.caller.ask("response_sla", "GetFigures", figures)


def tomorrow() -> datetime:
    """Returns the beginning of tomorrow, UTC."""
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
