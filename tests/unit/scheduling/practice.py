"""Scheduling on a store in memory: its commands, its reactions to its own facts, its timers, and a clock to move."""

import random
from collections.abc import Sequence
from datetime import datetime, timedelta

from google.protobuf.message import Message
from prometheus_client import CollectorRegistry

from kernel.clock import ManualClock
from kernel.commands import CommandPath, Handled
from kernel.facts import open_envelope
from kernel.freshness import NoLane
from kernel.ids import RandomIds
from kernel.metrics import Metrics
from kernel.reactions import Effects, OwnReactions
from kernel.requests import reaction_request
from kernel.routes import Command
from kernel.store.memory import MemoryStore
from kernel.timers import Timers
from services.scheduling.app import BOOKING, ROUTES, booking_stream
from services.scheduling.domain.booking import Booking, ConfirmBooking, HoldSlot
from services.scheduling.domain.contact_hours import ContactHours, Weekly
from services.scheduling.domain.policy import BookingPolicy
from services.scheduling.domain.session import StartSession
from services.scheduling.domain.therapist import EnrolTherapist, PublishContactHours
from services.scheduling.holding import in_free_place
from services.scheduling.reactions import TIMERS, own_reactions
from services.scheduling.wiring import SCHEDULING
from tests.gates import copy, told_phase
from tests.sentences import START

ALWAYS = ContactHours("UTC", tuple(Weekly(day, 1, 1) for day in range(1, 8)))  # type: ignore[arg-type]
SESSION = timedelta(minutes=50)


class Practice:
    def __init__(self) -> None:
        self.clock = ManualClock(START)
        self.store = MemoryStore(self.clock)
        ids, metrics = RandomIds(random.Random(1)), Metrics(CollectorRegistry())
        self.path = CommandPath("scheduling", self.store, SCHEDULING.own_facts, ROUTES, ids, metrics, NoLane())
        effects = Effects("scheduling", self.path, metrics)
        own = own_reactions(self.store)
        self._reactions = OwnReactions(self.store, SCHEDULING.own_facts, own, effects, self.clock)
        self._timers = Timers(self.store, self.path, TIMERS, self.clock, metrics)
        self._requests = 0
        self.copies = 0

    @property
    def now(self) -> datetime:
        return self.clock.now()

    async def run(self, command: Command) -> Handled:
        self._requests += 1
        return await self.path.run(command, reaction_request("test", str(self._requests)))

    async def react(self) -> bool:
        """Lets reactions see the facts there are now, and not those that come of them."""
        return await self._reactions.step()

    async def settle(self) -> None:
        """Lets reactions and timers do all there is to do."""
        while await self.react() or await self._timers.step():
            pass

    async def open(self, *therapists: str) -> None:
        for therapist in therapists:
            await self.run(EnrolTherapist(therapist, self.now))
            await self.run(PublishContactHours(therapist, ALWAYS, self.now))

    async def hold(self, booking_id: str, client: str, therapist: str, starts_at: datetime) -> None:
        ends_at = starts_at + SESSION
        hold = HoldSlot(booking_id, client, therapist, starts_at, ends_at, BookingPolicy(), self.now)
        await in_free_place(hold, self.run)

    async def confirm(self, booking_id: str, client: str, therapist: str) -> None:
        await self.run(ConfirmBooking(booking_id, client, client, therapist, self.now))

    async def book(self, booking_id: str, client: str, therapist: str, starts_at: datetime) -> None:
        await self.copy("age", client, "ASSURED")
        await self.hold(booking_id, client, therapist, starts_at)
        await self.confirm(booking_id, client, therapist)

    async def copy(self, gate: str, subject: str, state: str, source_type: str = "", epoch: int = 1) -> None:
        """The copies of all subjects are numbered from 1 on."""
        self.copies += 1
        phases = [told_phase(state)]
        await self.run(
            copy(gate, subject, phases, version=self.copies, epoch=epoch, source_type=source_type, now=self.now)
        )

    async def suspend(self, person: str) -> None:
        await self.copy("standing", person, "SUSPENDED", "holdspace.moderation.v1.ClientSuspended")

    async def reinstate(self, person: str) -> None:
        await self.copy("standing", person, "GOOD", "holdspace.moderation.v1.ClientReinstated")

    async def start(self, booking_id: str, client: str, therapist: str) -> None:
        await self.run(StartSession(booking_id, client, client, therapist, BookingPolicy(), self.now))

    async def booking(self, booking_id: str) -> Booking:
        return await self.path.state(booking_stream(booking_id), BOOKING)

    async def facts(self, stream: str) -> Sequence[Message]:
        recorded = await self.store.read_stream(stream)
        return [SCHEDULING.own_facts.payload(open_envelope(each.fact)) for each in recorded]

    async def names(self, booking_id: str) -> list[str]:
        """Returns what happened to a booking."""
        return [type(fact).__name__ for fact in await self.facts(booking_stream(booking_id))]
