"""Clocks of services that are wrong (libfaketime)."""

import asyncio
from pathlib import Path

from infra.database import SERVICES
from infra.local.stack_error import StackError
from tests.faults.rig import Rig

LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
OFFSETS = ("+37", "-37", "+4", "-4")
WRONG_SECONDS = 3.0


async def skew_clocks(rig: Rig) -> None:
    """The clock of every service, one after another, is 37 or 4 s ahead or behind for 3 s, and then right again"""
    if not LIBRARIES:
        raise StackError("faketime is not installed: apt-get install faketime")
    for service in SERVICES:
        _file(rig, service).write_text("+0")
        rig.process(service).more.update(
            LD_PRELOAD=str(LIBRARIES[0]),
            FAKETIME_TIMESTAMP_FILE=str(_file(rig, service)),
            FAKETIME_NO_CACHE="1",
            FAKETIME_DONT_FAKE_MONOTONIC="1",
            FAKETIME_DONT_RESET="1",
        )
        await rig.restart(service)
    for service in rig.chance.sample(SERVICES, len(SERVICES)):
        _file(rig, service).write_text(rig.chance.choice(OFFSETS))
        await asyncio.sleep(WRONG_SECONDS)
        _file(rig, service).write_text("+0")


def _file(rig: Rig, service: str) -> Path:
    return rig.process(service).folder / f"{service}.faketime"
