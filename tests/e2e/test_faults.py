"""A short part of `make faults`: what breaks under load costs time, and no answer that was given."""

import random
from pathlib import Path

import pytest

from infra.demo.world import fresh
from infra.local.servers import Servers
from tests.e2e.platform import Platform
from tests.faults.history import History
from tests.faults.injected import FAULTS
from tests.faults.rig import Rig
from tests.faults.running import Timing, play

SEED = 1
SHORT = Timing(before=1, after=1)


@pytest.mark.timeout(240)
@pytest.mark.rule("PL1.a", "PL1.b")
@pytest.mark.parametrize(
    "fault", ["postgres", *(pytest.param(each, marks=pytest.mark.slow) for each in ("kill", "kafka"))]
)
async def test_nothing_that_was_accepted_is_lost_or_done_twice_when_what_carries_it_is_killed(
    platform: Platform, servers: Servers, servers_folder: Path, fault: str
) -> None:
    history, chance = History(), random.Random(SEED)
    rig = Rig(platform, servers, servers_folder, history, chance, f"{fault}-{fresh()}")
    async with platform.callers() as callers:
        outcome = await play(rig, [callers], FAULTS[fault], SHORT)
    assert [str(violation) for violation in outcome.violations[:10]] == []
    assert outcome.accepted > 100
