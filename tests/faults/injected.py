"""The faults. Each breaks something while calls are in flight, and returns when it no longer does."""

import asyncio
import signal
from collections.abc import Mapping

from infra.database import SERVICES
from infra.local import servers
from tests.faults.rig import Rig
from tests.faults.running import Inject

STOPPED_SECONDS = 4.0
AWAY_SECONDS = 1.0


async def kill_each_service(rig: Rig) -> None:
    """SIGKILL of every service, one after another, each with calls it has not answered."""
    for service in rig.chance.sample(SERVICES, len(SERVICES)):
        await rig.kill(service)


async def stand_still(rig: Rig) -> None:
    """SIGSTOP of every service, one after another, longer than a call waits, then SIGCONT."""
    for service in rig.chance.sample(SERVICES, len(SERVICES)):
        await rig.until_in_flight(service)
        rig.signal(service, signal.SIGSTOP)
        await asyncio.sleep(STOPPED_SECONDS)
        rig.signal(service, signal.SIGCONT)


async def kill_postgres(rig: Rig) -> None:
    await _kill_server(rig, "postgres")


async def kill_kafka(rig: Rig) -> None:
    await _kill_server(rig, "kafka")


async def _kill_server(rig: Rig, server: servers.ServerName) -> None:
    """SIGKILL of a server and its children, and a start a second later."""
    await asyncio.to_thread(servers.stop_server, rig.servers_folder, server, hard=True)
    await asyncio.sleep(AWAY_SECONDS)
    await asyncio.to_thread(servers.start_server, rig.servers_folder, server)


FAULTS: Mapping[str, Inject] = {
    "kill": kill_each_service,
    "stop": stand_still,
    "postgres": kill_postgres,
    "kafka": kill_kafka,
}
