"""Services that are killed, stopped, told to end, and run twice."""

import asyncio
import signal

from infra.database import SERVICES
from tests.faults.rig import Rig

STILL_SECONDS = 4.0


async def kill_each_service(rig: Rig) -> None:
    """SIGKILL of every service, one after another, each with calls it has not answered"""
    for service in rig.chance.sample(SERVICES, len(SERVICES)):
        await rig.kill(service)


async def stand_still(rig: Rig) -> None:
    """SIGSTOP of every service for 4 s, one after another, each with calls it has not answered"""
    for service in rig.chance.sample(SERVICES, len(SERVICES)):
        await rig.until_in_flight(service)
        rig.signal(service, signal.SIGSTOP)
        await asyncio.sleep(STILL_SECONDS)
        rig.signal(service, signal.SIGCONT)


async def terminate_each_service(rig: Rig) -> None:
    """SIGTERM of every service, one after another, each with calls it has not answered"""
    for service in rig.chance.sample(SERVICES, len(SERVICES)):
        await rig.until_in_flight(service)
        await rig.restart(service)


async def kill_one_of_two(rig: Rig) -> None:
    """Two instances of every service; SIGKILL of the one and then of the other, with calls in flight"""
    for platform in rig.platforms:
        for service in rig.chance.sample(SERVICES, len(SERVICES)):
            await rig.kill(service, platform)
