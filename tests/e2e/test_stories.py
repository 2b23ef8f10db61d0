"""The mission, told by its users: real processes, real Kafka, real Postgres."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from holdspace.moderation.v1.events_pb2 import REINSTATEMENT_LIFTED, SEVERITY_DANGER, SEVERITY_HARASSMENT, Severity
from holdspace.moderation.v1.service_pb2 import (
    GetClientStandingRequest,
    ReinstateClientRequest,
    ReportClientRequest,
    State,
)
from holdspace.response_sla.v1.service_pb2 import GetFiguresRequest
from holdspace.scheduling.v1.service_pb2 import BookingStatus, EnrolTherapistRequest, ListBookingsRequest
from infra.demo.world import Ask, World, fresh, refusal, tomorrow, until
from services.messaging.domain.conversation import conversation_id
from tests.calls import refused
from tests.e2e.platform import Platform, eventually


@pytest.fixture
async def world(platform: Platform) -> AsyncIterator[World]:
    async with platform.world() as opened:
        yield opened


async def enrolled(world: World, *names: str) -> list[str]:
    """Enrols therapists with contact hours around the clock."""
    therapists = [world.person(name) for name in names]
    for therapist in therapists:
        request = EnrolTherapistRequest(
            request_id=fresh(), operator_id=world.person("operator"), therapist_id=therapist
        )
        await world.callers.scheduling.EnrolTherapist(request)
        await world.open_all_week(therapist)
    return therapists


async def report(
    world: World, client: str, reporter: str, severity: Severity.ValueType = SEVERITY_HARASSMENT
) -> State.ValueType:
    request = ReportClientRequest(request_id=fresh(), reporter_id=reporter, client_id=client, severity=severity)
    told = await until(Ask(world.callers.moderation.ReportClient, request))
    state: State.ValueType = told.client_state
    return state


async def bookings(world: World, client: str, status: BookingStatus.ValueType) -> list[str]:
    listed = await world.callers.scheduling.ListBookings(ListBookingsRequest(participant_id=client))
    return [booking.booking_id for booking in listed.bookings if booking.status == status]


async def contact_seen(platform: Platform, client: str, therapists: int) -> bool:
    """Whether moderation has seen the client write to that many."""
    facts = await platform.facts("moderation", f"client-{client}")
    return sum(fact.type.endswith(".ContactSeen") for fact in facts) >= therapists


@pytest.mark.rule("MO5.d", "MO4", "SL4")
async def test_three_reports_of_twelve_therapists_stop_a_client_with_all_of_them_and_in_every_service(
    platform: Platform, world: World
) -> None:
    therapists = await enrolled(world, *(f"t{number}" for number in range(12)))
    client = world.person("abuser")
    for therapist in therapists:
        await until(world.write(client, therapist))
    await world.prove_age(client)
    booked = [await world.book(client, therapists[number], tomorrow(9 + number)) for number in range(2)]
    await eventually(lambda: contact_seen(platform, client, 12))

    assert await report(world, client, therapists[0]) == State.STATE_GOOD
    assert await report(world, client, therapists[1]) == State.STATE_BRAKED
    assert await report(world, client, therapists[2]) == State.STATE_SUSPENDED

    async def is_locked() -> bool:
        return await refusal(world.write(client, therapists[11])) == "SENDER_SUSPENDED"

    await eventually(is_locked)
    answered = await refused(world.write(client, therapists[11], sender=therapists[11]))
    assert answered == ("FAILED_PRECONDITION", "CONVERSATION_LOCKED", "client_id")

    async def no_slot() -> bool:
        return await refusal(world.hold(client, therapists[5], tomorrow(15))) == "CLIENT_SUSPENDED"

    async def all_cancelled() -> bool:
        return set(booked) <= set(await bookings(world, client, BookingStatus.BOOKING_STATUS_CANCELLED))

    await eventually(no_slot)
    await eventually(all_cancelled)

    async def waits_are_gone() -> bool:
        told = await asyncio.gather(
            *(world.callers.response_sla.GetFigures(GetFiguresRequest(therapist_id=t)) for t in therapists)
        )
        reporters, others = told[:3], told[3:]
        return all(t.all.excluded == 1 and t.all.open == 0 for t in reporters) and all(
            t.all.voided == 1 and t.all.open == 0 for t in others
        )

    await eventually(waits_are_gone)


@pytest.mark.rule("MO4.b", "MO4.d", "MO5")
async def test_a_lift_gives_back_standing_and_bookings_but_no_wait(platform: Platform, world: World) -> None:
    [therapist, other] = await enrolled(world, "t0", "t1")
    client = world.person("client")
    await until(world.write(client, therapist))
    await world.prove_age(client)
    booked = await world.book(client, therapist, tomorrow(9))
    await eventually(lambda: contact_seen(platform, client, 1))
    assert await report(world, client, therapist, SEVERITY_DANGER) == State.STATE_SUSPENDED

    async def cancelled() -> bool:
        return await bookings(world, client, BookingStatus.BOOKING_STATUS_CANCELLED) == [booked]

    await eventually(cancelled)
    lift = ReinstateClientRequest(
        request_id=fresh(),
        moderator_id=world.person("moderator"),
        client_id=client,
        reinstatement=REINSTATEMENT_LIFTED,
    )
    await world.callers.moderation.ReinstateClient(lift)

    async def stands_again() -> bool:
        return await bookings(world, client, BookingStatus.BOOKING_STATUS_CONFIRMED) == [booked]

    await eventually(stands_again)
    await until(world.write(client, other), also=["SENDER_SUSPENDED"])

    async def excluded() -> bool:
        told = await world.callers.response_sla.GetFigures(GetFiguresRequest(therapist_id=therapist))
        return (told.all.excluded, told.all.open) == (1, 0)

    await eventually(excluded)


@pytest.mark.rule("MO4.f")
async def test_a_booking_whose_slot_was_sold_meanwhile_is_named_as_what_a_lift_could_not_give_back(
    platform: Platform, world: World
) -> None:
    [therapist] = await enrolled(world, "t0")
    client, other = world.person("client"), world.person("other")
    await until(world.write(client, therapist))
    for person in (client, other):
        await world.prove_age(person)
    lost = await world.book(client, therapist, tomorrow(9))
    await eventually(lambda: contact_seen(platform, client, 1))
    assert await report(world, client, therapist, SEVERITY_DANGER) == State.STATE_SUSPENDED
    await until(world.hold(other, therapist, tomorrow(9)), also=["SLOT_TAKEN"])  # as soon as the slot is free
    lift = ReinstateClientRequest(
        request_id=fresh(), moderator_id=world.person("m"), client_id=client, reinstatement=REINSTATEMENT_LIFTED
    )
    await world.callers.moderation.ReinstateClient(lift)

    async def named() -> bool:
        told = await world.callers.moderation.GetClientStanding(GetClientStandingRequest(client_id=client))
        return list(told.standing.booking_ids_lost) == [lost]

    await eventually(named)


@pytest.mark.rule("AV4")
async def test_no_booking_is_confirmed_without_a_valid_over_18_result(world: World) -> None:
    [therapist] = await enrolled(world, "t0")
    minor, unknown = world.person("minor"), world.person("unknown")
    await world.prove_age(minor, over_18=False)
    for hour, client in ((10, minor), (12, unknown)):
        held = await until(world.hold(client, therapist, tomorrow(hour)))
        assert (await refused(world.confirm(client, held.booking_id)))[1] == "AGE_NOT_ASSURED"


@pytest.mark.rule("SC2")
async def test_a_slot_that_many_clients_want_at_once_is_sold_to_one(world: World) -> None:
    [therapist] = await enrolled(world, "t0")
    await until(world.hold(world.person("early"), therapist, tomorrow(8)))
    rivals = [world.person(f"rival-{number}") for number in range(40)]
    told = await asyncio.gather(
        *(world.hold(rival, therapist, tomorrow(18)) for rival in rivals), return_exceptions=True
    )
    assert sum(not isinstance(answer, BaseException) for answer in told) == 1


@pytest.mark.rule("PL8.a")
async def test_a_therapist_can_be_written_to_once_enrolled_and_not_before(world: World) -> None:
    client, therapist = world.person("client"), world.person("t-late")
    assert (await refused(world.write(client, therapist)))[1] == "THERAPIST_UNKNOWN"
    await enrolled(world, "t-late")
    sent = await until(world.write(client, therapist))
    assert sent.conversation_id == conversation_id(client, therapist)


@pytest.mark.rule("SL1", "SL2")
async def test_an_answer_closes_the_wait_that_the_question_opened(world: World) -> None:
    [therapist] = await enrolled(world, "t0")
    client = world.person("client")
    asked = await until(world.write(client, therapist))
    answered = await world.write(client, therapist, sender=therapist)
    took = answered.accepted_at.ToDatetime(UTC) - asked.accepted_at.ToDatetime(UTC)

    async def closed() -> bool:
        told = await world.callers.response_sla.GetFigures(GetFiguresRequest(therapist_id=therapist))
        return (told.first.count, told.first.median_ms) == (1, took // timedelta(milliseconds=1))

    await eventually(closed)
    assert datetime.now(UTC) - asked.accepted_at.ToDatetime(UTC) < timedelta(minutes=5)
