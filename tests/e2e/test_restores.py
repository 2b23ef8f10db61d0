"""A service's database is restored from a backup: whatever was lost with it is lost everywhere, and nothing else is."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, timedelta

import pytest
from click.testing import CliRunner

from holdspace.moderation.v1.events_pb2 import REINSTATEMENT_LIFTED, REINSTATEMENT_REVERSED, Reinstatement
from holdspace.moderation.v1.service_pb2 import (
    BanClientRequest,
    BrakeClientRequest,
    ReinstateClientRequest,
    SuspendClientRequest,
    WarnClientRequest,
)
from holdspace.response_sla.v1.service_pb2 import GetFiguresRequest, GetFiguresResponse
from holdspace.scheduling.v1.service_pb2 import BOOKING_STATUS_CONFIRMED
from infra.cli.main import holdspace
from infra.demo.world import World, fresh, refusal, tomorrow, until
from services.moderation.domain.policy import DEFAULT
from tests.e2e.platform import Platform, eventually
from tests.e2e.restoring import Backup
from tests.e2e.test_stories import bookings, enrolled

MODERATOR = "moderator"


@pytest.fixture
async def world(platform: Platform) -> AsyncIterator[World]:
    async with platform.world() as opened:
        yield opened


async def suspend(world: World, client: str) -> None:
    await world.callers.moderation.SuspendClient(
        SuspendClientRequest(
            request_id=fresh(), moderator_id=MODERATOR, client_id=client, policy_version=DEFAULT.version
        )
    )


async def brake(world: World, client: str) -> None:
    await world.callers.moderation.BrakeClient(
        BrakeClientRequest(request_id=fresh(), moderator_id=MODERATOR, client_id=client, policy_version=DEFAULT.version)
    )


async def warn(world: World, client: str) -> None:
    await world.callers.moderation.WarnClient(
        WarnClientRequest(request_id=fresh(), moderator_id=MODERATOR, client_id=client, policy_version=DEFAULT.version)
    )


async def reinstate(world: World, client: str, reinstatement: Reinstatement.ValueType = REINSTATEMENT_LIFTED) -> None:
    await world.callers.moderation.ReinstateClient(
        ReinstateClientRequest(
            request_id=fresh(), moderator_id=MODERATOR, client_id=client, reinstatement=reinstatement
        )
    )


async def ban(world: World, client: str) -> None:
    await world.callers.moderation.BanClient(
        BanClientRequest(request_id=fresh(), moderator_id=MODERATOR, client_id=client)
    )


async def operate(*arguments: str) -> tuple[int, str]:
    """Runs `holdspace` and returns its exit code and what it printed."""
    told = await asyncio.to_thread(CliRunner().invoke, holdspace, arguments)
    return told.exit_code, told.output


async def is_locked(world: World, client: str, therapist: str, hour: int) -> bool:
    """Whether neither messaging nor scheduling lets the client in. Fails with what they say instead."""
    written = await refusal(world.write(client, therapist))
    held = await refusal(world.hold(client, therapist, tomorrow(hour)))
    assert (written, held) == ("SENDER_SUSPENDED", "CLIENT_SUSPENDED")
    return True


async def writes(world: World, client: str, therapist: str) -> bool:
    return await refusal(world.write(client, therapist)) == ""


@pytest.mark.timeout(240)
@pytest.mark.rule("MO4", "MO5")
async def test_after_a_restore_of_moderation_every_gate_is_what_moderation_holds(
    platform: Platform, world: World
) -> None:
    [therapist] = await enrolled(world, "restored-therapist")
    kept, lost, unlifted, banned = (world.person(name) for name in ("kept", "lost", "unlifted", "banned"))
    for client in (kept, lost, unlifted, banned):
        await until(world.write(client, therapist))
    await world.prove_age(lost)
    booking = await world.book(lost, therapist, tomorrow(9))
    await suspend(world, kept)
    await suspend(world, unlifted)
    await brake(world, banned)
    await eventually(lambda: is_locked(world, kept, therapist, 11))
    backup = Backup("moderation")
    await backup.take(platform.database_url)

    # What follows is lost. Versions go far beyond those of the backup.
    await suspend(world, lost)
    await reinstate(world, unlifted)
    for _ in range(4):
        await warn(world, banned)
    await reinstate(world, banned, REINSTATEMENT_REVERSED)
    await eventually(lambda: is_locked(world, lost, therapist, 12))
    await eventually(lambda: writes(world, unlifted, therapist))
    await eventually(lambda: _gone(world, lost, booking))

    moderation = platform.processes["moderation"]
    assert await asyncio.to_thread(moderation.stop) == 0
    await backup.restore(platform.database_url)
    database = ("--database-url", platform.database_url)
    code, told = await operate("relay", "reconcile", "moderation", "--yes", *database)
    assert (code, told.splitlines()[0]) == (0, "epoch 2"), told
    assert lost in told  # its copies are of a decision that is no more
    assert (await operate("gates", "verify", "moderation", "--within", "0", *database))[0] == 1
    await asyncio.to_thread(moderation.start)

    # Suspended after the backup: it never was.
    await eventually(lambda: writes(world, lost, therapist), 40)
    await eventually(lambda: _stands(world, lost, booking))
    # Lifted after the backup: it still holds.
    await eventually(lambda: is_locked(world, unlifted, therapist, 13))
    assert await is_locked(world, kept, therapist, 14)
    # Decided after the restore, at versions that were used before.
    await ban(world, banned)
    await eventually(lambda: is_locked(world, banned, therapist, 15))
    await reinstate(world, unlifted)
    await eventually(lambda: writes(world, unlifted, therapist))
    code, told = await operate("gates", "verify", "moderation", *database)
    assert code == 0, told


@pytest.mark.timeout(240)
@pytest.mark.rule("SL8")
async def test_after_a_restore_of_messaging_waits_are_those_of_the_messages_it_holds(
    platform: Platform, world: World
) -> None:
    [therapist] = await enrolled(world, "forgotten-therapist")
    client = world.person("forgotten")
    first = await until(world.write(client, therapist))
    backup = Backup("messaging")
    await eventually(lambda: _figures(world, therapist, answered=0, opened=1))
    await backup.take(platform.database_url)
    for sender in (therapist, client, therapist):  # lost, with the sequences 2 to 4
        await world.write(client, therapist, sender)
    await eventually(lambda: _figures(world, therapist, answered=2, opened=0))

    await _restore(platform, backup)
    assert (await until(world.write(client, therapist))).sequence == 2
    await eventually(lambda: _figures(world, therapist, answered=0, opened=1), 40)
    reply = await world.write(client, therapist, therapist)
    assert reply.sequence == 3
    told = await eventually(lambda: _figures(world, therapist, answered=1, opened=0))
    took = reply.accepted_at.ToDatetime(UTC) - first.accepted_at.ToDatetime(UTC)
    assert told.first.median_ms == took // timedelta(milliseconds=1)


async def _restore(platform: Platform, backup: Backup) -> str:
    """Stops the service, restores and reconciles it, and starts it again. Returns what the operator was told."""
    process = platform.processes[backup.service]
    assert await asyncio.to_thread(process.stop) == 0
    await backup.restore(platform.database_url)
    code, told = await operate("relay", "reconcile", backup.service, "--yes", "--database-url", platform.database_url)
    assert code == 0, told
    await asyncio.to_thread(process.start)
    return told


async def _figures(world: World, therapist: str, *, answered: int, opened: int) -> GetFiguresResponse | None:
    told = await world.callers.response_sla.GetFigures(GetFiguresRequest(therapist_id=therapist))
    return told if (told.all.count, told.all.open) == (answered, opened) else None


async def _stands(world: World, client: str, booking: str) -> bool:
    return booking in await bookings(world, client, BOOKING_STATUS_CONFIRMED)


async def _gone(world: World, client: str, booking: str) -> bool:
    return not await _stands(world, client, booking)
