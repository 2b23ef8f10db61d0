"""One round: a load, a fault in its middle, and the checker until everything has arrived or patience ends."""

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass

import grpc

from infra.callers import Callers
from infra.database import SERVICES
from tests.faults import checker
from tests.faults.caller import Caller
from tests.faults.evidence import Evidence
from tests.faults.fault import Fault
from tests.faults.gathering import gather
from tests.faults.history import OK, History
from tests.faults.load import Load
from tests.faults.rig import Rig
from tests.faults.violation import Violation

SETTLE_SECONDS_MAX = 60.0
CHECK_AGAIN_SECONDS = 0.3


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds of load before and after the fault, at least."""

    before: float = 4.0
    after: float = 4.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """`served_seconds`: from the end of the fault until every service had answered a new call. `settled_seconds`: from
    the end of the fault, or of the load where that was later, until everything had arrived everywhere.
    """

    violations: Sequence[Violation]
    calls: int
    accepted: int
    facts: int
    served_seconds: float
    settled_seconds: float


async def play(rig: Rig, instances: Sequence[Callers], fault: Fault, timing: Timing) -> Outcome:
    caller = Caller(rig.history, instances, rig.chance)
    load = Load(rig.prefix, caller, rig.platform.credentials, random.Random(rig.chance.random()))
    async with rig.watched():
        await load.prepare()
        running = asyncio.create_task(load.run())
        await asyncio.sleep(timing.before)
        await fault.inject(rig)
        ended = time.time()
        await _until_served(rig.history, ended)
        await asyncio.sleep(timing.after)
        caller.give_up_at = time.time() + SETTLE_SECONDS_MAX
        load.stopped.set()
        await running
        quiet = time.time()
        evidence, settled = await _settled(rig, instances, load, quiet)
    found = checker.violations(rig.history, evidence)
    return Outcome(
        found,
        rig.history.calls,
        sum(1 for _ in rig.history.accepted()),
        sum(map(len, evidence.stores.values())),
        _served(rig.history, ended) - ended,
        settled - quiet,
    )


async def _until_served(history: History, since: float) -> None:
    """Waits for a new answer of every service, as long as patience goes."""
    deadline = time.time() + SETTLE_SECONDS_MAX
    while time.time() < deadline:
        if _served(history, since) < float("inf"):
            return
        await asyncio.sleep(CHECK_AGAIN_SECONDS)


def _served(history: History, since: float) -> float:
    """Returns when every service had answered a call that began after an instant."""
    first = dict.fromkeys(SERVICES, float("inf"))
    for intention in history:
        for attempt in intention.attempts:
            if attempt.code == OK and attempt.began >= since:
                first[intention.service] = min(first[intention.service], attempt.ended)
    return max(first.values())


async def _settled(rig: Rig, instances: Sequence[Callers], load: Load, since: float) -> tuple[Evidence, float]:
    """Returns the evidence once it holds together, and when it was read; the last of it when patience ended."""
    evidence = Evidence()
    while time.time() - since < SETTLE_SECONDS_MAX:
        began = time.time()
        try:
            evidence = await gather(rig, instances[0], load.therapists)
        except (grpc.aio.AioRpcError, OSError):
            pass  # A server is not back yet.
        else:
            if checker.has_settled(rig.history, evidence):
                return evidence, began
        await asyncio.sleep(CHECK_AGAIN_SECONDS)
    return evidence, float("inf")
