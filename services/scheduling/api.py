"""Calls of scheduling's API to commands and queries."""

from datetime import datetime
from typing import Any

import grpc
from google.protobuf.message import Message

from holdspace.scheduling.v1 import service_pb2_grpc
from holdspace.scheduling.v1.events_pb2 import WeeklyRange
from holdspace.scheduling.v1.service_pb2 import (
    BOOKING_STATUS_CONFIRMED,
    BOOKING_STATUS_ENDED,
    BOOKING_STATUS_EXPIRED,
    BOOKING_STATUS_HELD,
    BOOKING_STATUS_LAPSED,
    BOOKING_STATUS_STARTED,
    PART_CLIENT,
    PART_THERAPIST,
    START_OUTCOME_REFUSED_AGE,
    START_OUTCOME_STARTED,
    CancelBookingRequest,
    CancelBookingResponse,
    ConfirmBookingRequest,
    ConfirmBookingResponse,
    EnrolTherapistRequest,
    EnrolTherapistResponse,
    GetBookingRequest,
    GetBookingResponse,
    GetContactHoursRequest,
    GetContactHoursResponse,
    HoldSlotRequest,
    HoldSlotResponse,
    ListBookingsRequest,
    ListBookingsResponse,
    PublishContactHoursRequest,
    PublishContactHoursResponse,
    StartSessionRequest,
    StartSessionResponse,
    WithdrawEnrolmentRequest,
    WithdrawEnrolmentResponse,
)
from holdspace.scheduling.v1.service_pb2 import Booking as BookingMessage
from kernel.clock import Clock
from kernel.commands import CommandPath, Handled
from kernel.errors import Rejected
from kernel.facts import instant, timestamp
from kernel.grpc.call import current_call
from kernel.grpc.paging import Pages
from kernel.grpc.reads import Reads
from kernel.ids import Ids
from kernel.queries import Queries
from kernel.requests import call_request
from kernel.routes import Command
from kernel.texts import Written
from services.scheduling.app import BOOKING, booking_stream
from services.scheduling.domain.booking import (
    NEVER,
    Booking,
    CancelBooking,
    ConfirmBooking,
    HoldSlot,
    Status,
)
from services.scheduling.domain.contact_hours import ContactHours
from services.scheduling.domain.policy import BookingPolicy
from services.scheduling.domain.session import StartSession
from services.scheduling.domain.therapist import EnrolTherapist, PublishContactHours, WithdrawEnrolment, weekly_of
from services.scheduling.holding import in_free_place

Context = grpc.aio.ServicerContext[Any, Any]

OVER = {BOOKING_STATUS_CONFIRMED: BOOKING_STATUS_LAPSED, BOOKING_STATUS_STARTED: BOOKING_STATUS_ENDED}


class SchedulingApi(service_pb2_grpc.SchedulingServiceServicer):
    def __init__(
        self,
        path: CommandPath,
        queries: Queries,
        reads: Reads,
        pages: Pages,
        policy: BookingPolicy,
        clock: Clock,
        ids: Ids,
    ) -> None:
        self._path = path
        self._queries = queries
        self._pages = pages
        self._reads = reads
        self._policy = policy
        self._clock = clock
        self._ids = ids

    async def EnrolTherapist(self, request: EnrolTherapistRequest, context: Context) -> EnrolTherapistResponse:
        handled = await self._run(EnrolTherapist(request.therapist_id, self._clock.now()), request)
        return EnrolTherapistResponse(revision=self._reads.revision(handled.position))

    async def WithdrawEnrolment(self, request: WithdrawEnrolmentRequest, context: Context) -> WithdrawEnrolmentResponse:
        reason = Written(self._ids.new(), request.reason)
        handled = await self._run(WithdrawEnrolment(request.therapist_id, reason, self._clock.now()), request)
        return WithdrawEnrolmentResponse(revision=self._reads.revision(handled.position))

    async def PublishContactHours(
        self, request: PublishContactHoursRequest, context: Context
    ) -> PublishContactHoursResponse:
        hours = ContactHours(request.time_zone, tuple(weekly_of(weekly) for weekly in request.ranges))
        handled = await self._run(PublishContactHours(request.therapist_id, hours, self._clock.now()), request)
        return PublishContactHoursResponse(revision=self._reads.revision(handled.position))

    async def GetContactHours(self, request: GetContactHoursRequest, context: Context) -> GetContactHoursResponse:
        await self._reads.wait(request.at_least)
        rows = await self._queries.rows("contact_hours", request.therapist_id)
        if not rows:
            raise Rejected("THERAPIST_UNKNOWN", "therapist_id")
        [row] = rows
        ranges = zip(row["weekdays"], row["start_minutes"], row["end_minutes"], strict=True)
        return GetContactHoursResponse(
            time_zone=row["time_zone"],
            ranges=[WeeklyRange(weekday=day, start_minute=start, end_minute=end) for day, start, end in ranges],
            published_at=timestamp(row["published_at"]) if row["published_at"] else None,
        )

    async def HoldSlot(self, request: HoldSlotRequest, context: Context) -> HoldSlotResponse:
        command = HoldSlot(
            booking_id=self._ids.new(),
            client_id=request.client_id,
            therapist_id=request.therapist_id,
            starts_at=instant(request.starts_at),
            ends_at=instant(request.ends_at),
            policy=self._policy,
            now=self._clock.now(),
        )
        handled = await in_free_place(command, lambda placed: self._run(placed, request))
        booking: Booking = handled.state
        return HoldSlotResponse(
            booking_id=booking.booking_id,
            hold_expires_at=timestamp(booking.hold_expires_at),
            revision=self._reads.revision(handled.position),
        )

    async def ConfirmBooking(self, request: ConfirmBookingRequest, context: Context) -> ConfirmBookingResponse:
        booking = await self._booking(request.booking_id)
        command = ConfirmBooking(
            booking_id=request.booking_id,
            asked_by=request.client_id,
            client_id=booking.client_id,
            therapist_id=booking.therapist_id,
            now=self._clock.now(),
        )
        handled = await self._run(command, request)
        return ConfirmBookingResponse(revision=self._reads.revision(handled.position))

    async def StartSession(self, request: StartSessionRequest, context: Context) -> StartSessionResponse:
        booking = await self._booking(request.booking_id)
        command = StartSession(
            booking_id=request.booking_id,
            asked_by=request.participant_id,
            client_id=booking.client_id,
            therapist_id=booking.therapist_id,
            policy=self._policy,
            now=self._clock.now(),
        )
        handled = await self._run(command, request)
        started = handled.state.status is Status.STARTED
        return StartSessionResponse(
            outcome=START_OUTCOME_STARTED if started else START_OUTCOME_REFUSED_AGE,
            revision=self._reads.revision(handled.position),
        )

    async def CancelBooking(self, request: CancelBookingRequest, context: Context) -> CancelBookingResponse:
        command = CancelBooking(request.booking_id, request.participant_id, self._clock.now())
        handled = await self._run(command, request)
        return CancelBookingResponse(revision=self._reads.revision(handled.position))

    async def GetBooking(self, request: GetBookingRequest, context: Context) -> GetBookingResponse:
        await self._reads.wait(request.at_least)
        rows = await self._queries.rows("booking", request.booking_id, request.participant_id)
        if not rows:
            raise Rejected("NOT_FOUND", "booking_id")
        return GetBookingResponse(booking=booking_of(rows[0], self._clock.now()))

    async def ListBookings(self, request: ListBookingsRequest, context: Context) -> ListBookingsResponse:
        asked = self._pages.of(request, datetime, str)
        after = asked.after or (instant(request.starts_from) if request.HasField("starts_from") else NEVER, "")
        as_client, as_therapist = request.part != PART_THERAPIST, request.part != PART_CLIENT
        await self._reads.wait(request.at_least)
        rows = await self._queries.rows(
            "bookings", request.participant_id, as_client, as_therapist, *after, asked.size + 1
        )
        shown, now = rows[: asked.size], self._clock.now()
        more = len(rows) > asked.size
        return ListBookingsResponse(
            bookings=[booking_of(row, now) for row in shown],
            next_page_token=asked.next(shown[-1]["starts_at"], shown[-1]["booking_id"]) if more else "",
        )

    async def _run(self, command: Command, request: Message) -> Handled:
        call = current_call()
        identity = call_request(call.scope, call.method, call.request_id, request)
        return await self._path.run(command, identity, call.origin, call.deadline)

    async def _booking(self, booking_id: str) -> Booking:
        """Tells whose booking it is, which never changes. One that nobody made is nobody's."""
        return await self._path.state(booking_stream(booking_id), BOOKING)


def booking_of(row: Any, now: datetime) -> BookingMessage:  # noqa: ANN401 - a row
    """What is over at its time is shown so, whether or not that has been noted."""
    status = row["status"]
    is_held = status == BOOKING_STATUS_HELD
    if is_held and row["hold_expires_at"] <= now:
        status = BOOKING_STATUS_EXPIRED
    elif row["ends_at"] <= now:
        status = OVER.get(status, status)
    return BookingMessage(
        booking_id=row["booking_id"],
        client_id=row["client_id"],
        therapist_id=row["therapist_id"],
        starts_at=timestamp(row["starts_at"]),
        ends_at=timestamp(row["ends_at"]),
        status=status,
        hold_expires_at=timestamp(row["hold_expires_at"]) if is_held else None,
        cancellation_reason=row["cancellation_reason"],
    )
