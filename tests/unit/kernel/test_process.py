"""A process: starts its roles, starts again what fails, and ends when it is told to."""

import asyncio
import json
import os
import signal
import socket
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

SETTINGS = {
    "HOLDSPACE_ENVIRONMENT": "production",
    "HOLDSPACE_DATABASE_URL": "postgresql://localhost/none",
    "HOLDSPACE_KAFKA": "localhost:9092",
    "HOLDSPACE_CELL": "a",
    "HOLDSPACE_JWKS": "/nowhere",
    "HOLDSPACE_ISSUER": "https://issuer.example",
    "HOLDSPACE_AUDIENCE": "holdspace",
    "HOLDSPACE_PAGE_TOKEN_KEY": "signs the page tokens of the tests",
    "HOLDSPACE_METRICS_PORT": "0",
    "HOLDSPACE_DRAIN_SECONDS": "0.5",
    "HOLDSPACE_STOP_SECONDS": "10",
}


class Running:
    def __init__(self, process: Process) -> None:
        self.process = process
        self.records: list[dict[str, Any]] = []

    async def until(self, event: str, **having: object) -> dict[str, Any]:
        """Reads records until the one with this event and these fields."""
        async with asyncio.timeout(20):
            while line := await self.process.stdout.readline():  # type: ignore[union-attr]
                self.records.append(json.loads(line))
                if {"event": event, **having}.items() <= self.records[-1].items():
                    return self.records[-1]
        raise AssertionError(f"{event} did not come: {self.records}")

    async def exit(self) -> tuple[int, str]:
        """Returns the exit code and what it said on standard error, once it has ended."""
        async with asyncio.timeout(20):
            output, errors = await self.process.communicate()
        self.records.extend(json.loads(line) for line in output.splitlines())
        assert self.process.returncode is not None
        return self.process.returncode, errors.decode()

    def told(self, event: str) -> list[Any]:
        return [record.get("role") for record in self.records if record["event"] == event]


@asynccontextmanager
async def running(*roles: str, behaviours: str = "", **settings: str) -> AsyncIterator[Running]:
    """Starts the program; `behaviours` as in `api=hangs relay=fails`."""
    environment = {**os.environ, **SETTINGS, "BEHAVIOURS": behaviours, **settings}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.unit.kernel.program", *roles, env=environment, stdout=PIPE, stderr=PIPE
    )
    try:
        yield Running(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_api_drains_before_the_others_stop(number: signal.Signals) -> None:
    async with running(behaviours="api=slow") as it:
        await it.until("runs", role="api")  # The last to be started.
        it.process.send_signal(number)
        assert await it.exit() == (0, "")
        assert it.told("stops")[0] == it.told("stopped")[0] == "api"
        ends = [record["event"] for record in it.records if record["event"].startswith("stop")]
        assert ends == ["stopping", "stops", "stopped", *["stops", "stopped"] * 4]
        assert set(it.told("stopped")) == {"api", "lanes", "reactions", "projections", "relay"}
        assert {record["service"] for record in it.records} == {"diary"}


async def test_only_the_roles_asked_for_run() -> None:
    async with running("relay") as it:
        await it.until("runs", role="relay")
        it.process.terminate()
        assert (await it.exit())[0] == 0
        assert it.told("runs") == ["relay"]


@pytest.mark.parametrize("roles", [("reactions",), ("projections",), ("reactions", "projections")])
async def test_a_process_that_no_gate_waits_for_gives_way_to_others(roles: tuple[str, ...]) -> None:
    async with running(*roles) as it:
        await it.until("runs", role=min(roles))  # The last to be started.
        assert os.getpriority(os.PRIO_PROCESS, it.process.pid) == os.getpriority(os.PRIO_PROCESS, 0) + 10


@pytest.mark.parametrize("roles", [("lanes",), ("relay",), ("api",), ("lanes", "reactions"), ()])
async def test_a_process_that_a_gate_waits_for_does_not_give_way(roles: tuple[str, ...]) -> None:
    async with running(*roles) as it:
        await it.until("runs")
        assert os.getpriority(os.PRIO_PROCESS, it.process.pid) == os.getpriority(os.PRIO_PROCESS, 0)


async def test_a_role_that_fails_is_started_again_while_the_others_go_on() -> None:
    async with running("api", "relay", behaviours="relay=fails-once") as it:
        failed = await it.until("failed; starting again")
        assert (failed["role"], failed["exception"][0]["exc_value"]) == ("relay", "a fault")
        await it.until("runs", role="relay", number=2)
        assert it.told("runs").count("api") == 1


async def test_what_is_away_is_one_line_however_often_it_is_tried() -> None:
    async with running("relay", behaviours="relay=away-twice") as it:
        await it.until("runs", number=3)
        [away] = [record for record in it.records if record["event"] == "cannot be reached; trying again"]
        assert (away["level"], away["cause"]) == ("warning", "StoreUnavailable: no connection")
        assert "exception" not in away


async def test_what_several_tasks_missed_at_once_is_one_line_too() -> None:
    async with running("relay", behaviours="relay=away-with-others") as it:
        await it.until("runs", number=3)
        [away] = [record for record in it.records if record["event"] == "cannot be reached; trying again"]
        assert away["cause"] == "StoreUnavailable: no connection"


async def test_a_role_cancelled_by_nobody_who_may_is_started_again_with_a_word() -> None:
    async with running("api", "relay", behaviours="relay=cancelled-once") as it:
        await it.until("cancelled from inside; starting again")
        await it.until("runs", role="relay", number=2)


async def test_tries_are_spread_out() -> None:
    async with running("relay", behaviours="relay=fails") as it:
        began = time.monotonic()
        await it.until("runs", number=5)
        assert time.monotonic() - began > (0.1 + 0.2 + 0.4 + 0.8) / 2


async def test_a_process_ends_when_its_work_is_done() -> None:
    async with running("migrate", behaviours="migrate=ends") as it:
        assert await it.exit() == (0, "")


async def test_a_migration_that_fails_is_not_tried_again() -> None:
    async with running("migrate", behaviours="migrate=fails") as it:
        assert (await it.exit())[0] == 1
        assert it.records[-1]["exception"][0]["exc_value"] == "a fault"


async def test_wiring_that_fails_ends_the_process() -> None:
    async with running(behaviours="wiring=fails") as it:
        assert (await it.exit())[0] == 1
        assert it.records[-1]["level"] == "critical"


async def test_wrong_settings_are_all_named_and_nothing_starts() -> None:
    async with running(HOLDSPACE_KAFKA="", HOLDSPACE_CELL="?") as it:
        code, errors = await it.exit()
        assert code == 2
        assert [line.split(":")[0] for line in errors.splitlines()] == ["HOLDSPACE_KAFKA", "HOLDSPACE_CELL"]
        assert not it.records


async def test_a_setting_that_a_role_finds_wrong_stops_them_all() -> None:
    async with running("api", "relay", behaviours="relay=wrong-setting") as it:
        assert await it.exit() == (2, "HOLDSPACE_KAFKA: has no topics\n")
        assert "api" in it.told("stopped")


async def test_a_metrics_port_that_is_taken_is_a_wrong_setting() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        async with running(HOLDSPACE_METRICS_PORT=str(taken.getsockname()[1])) as it:
            code, errors = await it.exit()
            assert (code, errors.split(":")[0]) == (2, "HOLDSPACE_METRICS_PORT")


@pytest.mark.parametrize("arguments", [("nothing",), ("migrate", "api")])
async def test_roles_that_cannot_be_are_refused(arguments: tuple[str, ...]) -> None:
    async with running(*arguments) as it:
        assert (await it.exit())[0] == 2


async def test_a_process_with_nothing_to_run_says_so() -> None:
    async with running("lanes", behaviours="lanes=missing") as it:
        assert await it.exit() == (2, "diary has nothing to run in the role lanes\n")


@pytest.mark.parametrize("behaviour", ["api=hangs", "relay=hangs", "api=blocks", "relay=blocks"])
async def test_a_stop_that_hangs_ends_hard_at_its_deadline(behaviour: str) -> None:
    async with running("api", "relay", behaviours=behaviour, HOLDSPACE_STOP_SECONDS="0.5") as it:
        await it.until("runs", role="api")  # The last to be started.
        began = time.monotonic()
        it.process.terminate()
        await asyncio.sleep(0.3)
        it.process.terminate()  # Does not prolong it.
        assert (await it.exit())[0] == 70
        assert 0.4 < time.monotonic() - began < 5
