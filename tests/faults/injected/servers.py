"""PostgreSQL and Kafka killed, frozen, out of disk space, and PostgreSQL's connections cut."""

import asyncio
import os
import random
import signal
from collections.abc import Sequence
from contextlib import suppress

import psutil

from infra.database import SERVICES
from infra.local import servers
from tests.contract.cutting_proxy import Cut, CuttingProxy
from tests.faults.rig import Rig

AWAY_SECONDS = 1.0
FROZEN_SECONDS = 6.0
FULL_SECONDS = 4.0
CUTTING_SECONDS = 8.0
DISK_BYTES = 1_800 * 1024**2
BOTH: Sequence[servers.ServerName] = ("postgres", "kafka")
CUTS = (Cut.BEFORE_IT_ARRIVES, Cut.BEFORE_THE_ANSWER, Cut.WHILE_IT_RUNS)


async def kill_postgres(rig: Rig) -> None:
    """SIGKILL of PostgreSQL and its children, started again a second later"""
    await _kill(rig, "postgres")


async def kill_kafka(rig: Rig) -> None:
    """SIGKILL of Kafka, started again a second later"""
    await _kill(rig, "kafka")


async def _kill(rig: Rig, server: servers.ServerName) -> None:
    await asyncio.to_thread(servers.stop_server, rig.servers_folder, server, hard=True)
    await asyncio.sleep(AWAY_SECONDS)
    await asyncio.to_thread(servers.start_server, rig.servers_folder, server)


async def freeze_servers(rig: Rig) -> None:
    """SIGSTOP of PostgreSQL with all its processes for 6 s, then of Kafka"""
    for server in BOTH:
        (pid,) = [each.pid for each in servers.status(rig.servers_folder) if each.name == server]
        frozen = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
        _signal(frozen, signal.SIGSTOP)
        await asyncio.sleep(FROZEN_SECONDS)
        _signal(frozen, signal.SIGCONT)


def _signal(processes: Sequence[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)


async def fill_the_disk(rig: Rig) -> None:
    """The file system of PostgreSQL and Kafka has not a byte left for 4 s; whichever gave up is started again

    The servers of the round live on a tmpfs of their own, which takes the right to mount.
    """
    filler = rig.servers_folder / "filler"
    await asyncio.to_thread(_fill, filler)
    await asyncio.sleep(FULL_SECONDS)
    filler.unlink()
    for server in BOTH:
        await asyncio.to_thread(servers.start_server, rig.servers_folder, server)


def _fill(path: os.PathLike[str]) -> None:
    with open(path, "wb", buffering=0) as filler, suppress(OSError):
        while True:
            filler.write(bytes(1024**2))
    with open(path, "ab", buffering=0) as filler, suppress(OSError):
        while True:
            filler.write(bytes(1))


async def cut_connections(rig: Rig) -> None:
    """Connections to PostgreSQL are cut for 8 s: before a statement arrives, while it runs, before its answer"""
    direct = rig.platform.database_url
    async with CuttingProxy(direct) as proxy:
        await _lead(rig, proxy.url)
        end = asyncio.get_running_loop().time() + CUTTING_SECONDS
        while asyncio.get_running_loop().time() < end:
            proxy.arm(rig.prefix.encode(), rig.chance.choice(CUTS))
            with suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await proxy.happened.wait()
            await asyncio.sleep(random.uniform(0, 0.1))
        await _lead(rig, direct)


async def _lead(rig: Rig, database_url: str) -> None:
    """Has every service connect by another way."""
    for service in SERVICES:
        rig.process(service).database_url = database_url
        await rig.restart(service)
