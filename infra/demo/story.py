"""The story of one report: an abusive client is stopped everywhere, and let back in."""

import asyncio
import random
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import Any

import grpc

from holdspace.messaging.v1.service_pb2 import ListConversationsRequest
from holdspace.moderation.v1.events_pb2 import REINSTATEMENT_REVERSED, SEVERITY_HARASSMENT
from holdspace.moderation.v1.service_pb2 import (
    GetClientStandingRequest,
    ReinstateClientRequest,
    ReportClientRequest,
    State,
)
from holdspace.response_sla.v1.service_pb2 import GetFiguresRequest, GetProgressRequest, ListWaitsRequest, WaitState
from holdspace.scheduling.v1.service_pb2 import BookingStatus, ListBookingsRequest
from infra.demo.history import history
from infra.demo.screen import Screen
from infra.demo.world import Ask, World, first_refusal, fresh, refusal, tomorrow, until

THERAPISTS = 12
REPORTERS = 3
SEED = 20260302
TRAFFIC_SECONDS = 0.05
STORES = {
    "messaging": ("gate-standing-{}", "GateCopied"),
    "scheduling": ("gate-standing-{}", "GateCopied"),
    "response_sla": ("person-{}", "StandingNoted"),
}


@dataclass(slots=True)
class Story:
    world: World
    screen: Screen
    therapists: Sequence[str] = field(init=False)
    abuser: str = field(init=False)
    booked: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.therapists = [self.world.person(f"therapist-{number}") for number in range(THERAPISTS)]
        self.abuser = self.world.person("abuser")

    async def tell(self) -> None:
        """Raises Unexpected, or the error of a call that should have succeeded."""
        await self.bring_history()
        traffic = asyncio.create_task(self.live_traffic())
        try:
            await self.write_to_everyone()
            await self.race_for_a_slot()
            await self.refuse_under_age()
            await self.report_and_watch()
            await self.lift_and_write()
        finally:
            traffic.cancel()
            with suppress(asyncio.CancelledError):
                await traffic

    async def bring_history(self) -> None:
        self.screen.act("History", "Ninety days of an older system, brought over with their original times.")
        lines = history(SEED, self.therapists, self.world.person("client"), datetime.now(UTC))
        imported, revision = await self.world.bring_history(lines)
        self.screen.line(f"{imported} messages imported")
        self.screen.expect(imported == len(lines), "every line had its effect")
        asked = GetProgressRequest(revisions=[revision])
        for _ in range(1200):
            if (await self.world.callers.response_sla.GetProgress(asked)).revisions_reached:
                break
            await asyncio.sleep(0.05)
        self.screen.line("response-SLA has taken all of them in")
        await asyncio.gather(*(self.world.open_all_week(therapist) for therapist in self.therapists))
        self.screen.line(f"{THERAPISTS} therapists enrolled by their marks, contact hours published")

    async def live_traffic(self) -> None:
        """Sincere people go on writing while everything else happens."""
        chance = random.Random(SEED)
        clients = [self.world.person(f"sincere-{number}") for number in range(20)]
        homes = {client: chance.choice(self.therapists) for client in clients}
        while True:
            client = chance.choice(clients)
            with suppress(grpc.aio.AioRpcError):  # A busy moment: the next message will tell.
                await self.world.write(client, homes[client])
                if chance.random() < 0.5:
                    await self.world.write(client, homes[client], homes[client])
            await asyncio.sleep(TRAFFIC_SECONDS)

    async def write_to_everyone(self) -> None:
        self.screen.act("One client, a dozen therapists", "Free messages before any commitment, and two bookings.")
        began = asyncio.get_running_loop().time()
        for therapist in self.therapists:
            await until(self.world.write(self.abuser, therapist))
        took = (asyncio.get_running_loop().time() - began) * 1000
        self.screen.line(f"{self.abuser} wrote to {THERAPISTS} therapists in {took:.0f} ms")
        await self.world.prove_age(self.abuser)
        for number in range(2):
            self.booked.append(await self.world.book(self.abuser, self.therapists[number], tomorrow(9 + 2 * number)))
        self.screen.line("over 18 proven; two sessions booked for tomorrow")

    async def race_for_a_slot(self) -> None:
        self.screen.act("One slot, two clients", "Each slot is sold once.")
        rivals = [self.world.person(f"rival-{number}") for number in range(2)]
        therapist, at = self.therapists[3], tomorrow(14)
        told = await asyncio.gather(*(refusal(self.world.hold(rival, therapist, at)) for rival in rivals))
        self.screen.table(
            "Who got it", ["client", "answer"], [(r, t or "held") for r, t in zip(rivals, told, strict=True)]
        )
        self.screen.expect(sorted(told) == ["", "SLOT_TAKEN"], "one of them got it, the other was told why not")

    async def refuse_under_age(self) -> None:
        self.screen.act("Under age", "No session happens without a valid over-18 result.")
        minor = self.world.person("minor")
        await self.world.prove_age(minor, over_18=False)
        held = await until(self.world.hold(minor, self.therapists[4], tomorrow(11)))
        reason = await refusal(self.world.confirm(minor, held.booking_id))
        self.screen.line(f"booking of {minor}: {reason}")
        self.screen.expect(reason == "AGE_NOT_ASSURED", "the booking was refused at its confirmation")

    async def report_and_watch(self) -> None:
        self.screen.act("Three reports", "Three therapists of twelve say: this client is not legitimate.")
        reporter = self.therapists[2]
        before = await self.figures(reporter)
        suspended_at = await self.report()
        later = (tomorrow(24 + hour) for hour in count())  # What was held is taken, even for the one who holds it.
        messaging, scheduling = await asyncio.gather(
            first_refusal(lambda: self.world.write(self.abuser, self.therapists[5]), suspended_at),
            first_refusal(
                lambda: self.world.hold(self.abuser, self.therapists[6], next(later)),
                suspended_at,
                besides="HOLDS_TOO_MANY",  # of the holds that still passed
            ),
        )
        await self.show_enforcement()
        self.screen.table(
            "What the client was told",
            ["call", "first refused after", "reason"],
            [
                ("SendMessage, a conversation that exists", f"{messaging[1]:.0f} ms", messaging[0]),
                ("HoldSlot", f"{scheduling[1]:.0f} ms", scheduling[0]),
            ],
        )
        self.screen.expect(messaging[0] == "SENDER_SUSPENDED", "no message passes, with a therapist who never reported")
        self.screen.expect(scheduling[0] == "CLIENT_SUSPENDED", "no booking passes")
        await self.show_bookings(BookingStatus.BOOKING_STATUS_CANCELLED, "both bookings were cancelled")
        await self.show_figures(reporter, before)

    async def report(self) -> float:
        """Files the reports. Returns the loop's time of the answer that said SUSPENDED."""
        for reporter in self.therapists[:REPORTERS]:
            request = ReportClientRequest(
                request_id=fresh(), reporter_id=reporter, client_id=self.abuser, severity=SEVERITY_HARASSMENT
            )
            told = await until(Ask(self.world.callers.moderation.ReportClient, request))
            self.screen.line(f"report of {reporter} accepted; the client is now {name_of(State, told.client_state)}")
        # A report scores once moderation has seen that the client wrote to the reporter: usually long before.
        state = told.client_state
        for _ in range(1000):
            if state == State.STATE_SUSPENDED:
                break
            state = (await self.standing()).state
        self.screen.expect(state == State.STATE_SUSPENDED, "three reports suspended the client at once, provisionally")
        return asyncio.get_running_loop().time()

    async def standing(self) -> Any:  # noqa: ANN401 - a response
        asked = GetClientStandingRequest(client_id=self.abuser)
        return (await self.world.callers.moderation.GetClientStanding(asked)).standing

    async def show_enforcement(self) -> None:
        decided = await self.world.recorded("moderation", f"client-{self.abuser}", "ClientSuspended")
        rows = []
        for service, (stream, fact) in STORES.items():
            at = await until_recorded(self.world, service, stream.format(self.abuser), fact, decided)
            rows.append((service, f"{(at - decided).total_seconds() * 1000:.1f} ms" if at and decided else "never"))
        self.screen.table("Suspension, from its commit in moderation to its commit in", ["service", "after"], rows)
        self.screen.expect(all(after != "never" for _, after in rows), "every service enforces it in its own store")

    async def show_bookings(self, status: BookingStatus.ValueType, promise: str) -> None:
        bookings: list[Any] = []
        for _ in range(400):
            request = ListBookingsRequest(participant_id=self.abuser)
            bookings = list((await self.world.callers.scheduling.ListBookings(request)).bookings)
            bookings = [b for b in bookings if b.booking_id in self.booked and b.status == status]
            if len(bookings) == len(self.booked):
                break
            await asyncio.sleep(0.01)
        rows = [
            (b.therapist_id, f"{b.starts_at.ToDatetime():%a %H:%M} UTC", name_of(BookingStatus, status))
            for b in bookings
        ]
        self.screen.table("Bookings of the client", ["therapist", "starts", "status"], rows)
        self.screen.expect(len(bookings) == len(self.booked), promise)

    async def figures(self, therapist: str) -> Any:  # noqa: ANN401 - a response
        return await self.world.callers.response_sla.GetFigures(GetFiguresRequest(therapist_id=therapist))

    async def show_figures(self, therapist: str, before: Any) -> None:  # noqa: ANN401 - a response
        wait = await self.excluded_wait(therapist)
        after = await self.figures(therapist)
        rows = [(name, *counts(told)) for name, told in (("before", before), ("after", after))]
        self.screen.table(f"Figures of {therapist}", ["", "closed", "median", "open", "excluded"], rows)
        self.screen.line(f"excluded: the wait of {wait.client_id}, opened {wait.opened_at.ToDatetime():%H:%M:%S} UTC")
        self.screen.expect(wait.client_id == self.abuser, "the wait that leaves the figures is the reported client's")

    async def excluded_wait(self, therapist: str) -> Any:  # noqa: ANN401 - a response
        for _ in range(400):
            request = ListWaitsRequest(therapist_id=therapist, page_size=500)
            for wait in (await self.world.callers.response_sla.ListWaits(request)).waits:
                if wait.state == WaitState.WAIT_STATE_EXCLUDED:
                    return wait
            await asyncio.sleep(0.01)
        self.screen.expect(False, "the reported client's wait is excluded")
        return None

    async def lift_and_write(self) -> None:
        self.screen.act("Reversed", "A moderator finds that the reports were wrong, and gives the standing back.")
        moderator = self.world.person("moderator")
        request = ReinstateClientRequest(
            request_id=fresh(), moderator_id=moderator, client_id=self.abuser, reinstatement=REINSTATEMENT_REVERSED
        )
        loop = asyncio.get_running_loop()
        await self.world.callers.moderation.ReinstateClient(request)
        began = loop.time()
        await until(self.world.write(self.abuser, self.therapists[5]), also=["SENDER_SUSPENDED"])
        self.screen.line(f"the client writes again, {(loop.time() - began) * 1000:.0f} ms after the answer")
        standing = await self.world.callers.moderation.GetClientStanding(
            GetClientStandingRequest(client_id=self.abuser)
        )
        self.screen.expect(standing.standing.state == State.STATE_GOOD, "the standing is GOOD")
        await self.show_bookings(BookingStatus.BOOKING_STATUS_CONFIRMED, "both bookings stand again")
        listed = await self.world.callers.messaging.ListConversations(
            ListConversationsRequest(participant_id=self.abuser, page_size=500)
        )
        self.screen.expect(len(listed.conversations) == THERAPISTS, "every conversation is still there")


async def until_recorded(world: World, service: str, stream: str, fact: str, after: datetime | None) -> datetime | None:
    """Returns when the store recorded the fact, the last one after a time; None when it does not come."""
    for _ in range(400):
        at = await world.recorded(service, stream, fact)
        if at is not None and after is not None and at > after:
            return at
        await asyncio.sleep(0.01)
    return None


def counts(told: Any) -> tuple[object, ...]:  # noqa: ANN401 - a response
    group = told.all
    median = f"{group.median_ms / 3_600_000:.1f} h" if group.HasField("median_ms") else "-"
    return group.count, median, group.open, group.excluded


def name_of(enum: Any, value: int) -> str:  # noqa: ANN401 - a generated enum
    """Returns the name of a value without its enum's prefix."""
    zero: str = enum.Name(0)
    return str(enum.Name(value)).removeprefix(zero.removesuffix("UNSPECIFIED"))
