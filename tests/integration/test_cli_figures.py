"""From another system's file to figures, by command line alone, compared with what a straight line gives."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.local import keys
from infra.local.servers import Servers
from tests.calls import fresh
from tests.integration.test_cli_import import seeded_trace, write
from tests.reference.straight_line import figures
from tests.running import ServiceProcess

RIGHTS = ("messaging.import", "response_sla.read_all", "response_sla.read", "act_for")


@pytest.fixture(scope="module")
def variables(
    servers: Servers, module_database_url: str, credentials: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    """What an operator sets, with messaging and response-sla running."""
    folder = tmp_path_factory.mktemp("services")
    started = [
        ServiceProcess(name, servers, module_database_url, credentials, folder).start()
        for name in ("messaging", "response_sla")
    ]
    token = keys.mint(credentials, subject="operator", kind="service", scope=RIGHTS)
    yield {
        "HOLDSPACE_MESSAGING": started[0].target,
        "HOLDSPACE_RESPONSE_SLA": started[1].target,
        "HOLDSPACE_DATABASE_URL": module_database_url,
        "HOLDSPACE_TOKEN": token,
    }
    for process in started:
        process.stop()


def run(variables: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "infra.cli", *arguments]
    return subprocess.run(
        command, env={**os.environ, **variables}, capture_output=True, text=True, timeout=100, check=False
    )


def told(variables: dict[str, str], *arguments: str) -> list[dict[str, Any]]:
    done = run(variables, "figures", *arguments, "--output", "json")
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.slow
@pytest.mark.rule("PL6", "SL7", "SL9", "SL14")
def test_imported_history_gives_the_figures_of_a_straight_line_and_opens_to_its_waits(
    variables: dict[str, str], tmp_path: Path
) -> None:
    trace, source = seeded_trace(1_500, people=30), fresh()  # Other tests publish on the same topics.
    done = run(variables, "import", str(write(tmp_path / "trace.gz", trace)), "--source", source, "--wait")
    assert done.returncode == 0, done.stderr
    assert "the figures contain it" in done.stderr

    revision = done.stdout.split()[-1]
    all_figures = told(variables, "--all", "--wait", "--revision", revision)
    ours = [each for each in all_figures if each["therapist"].startswith(f"{source}-")]
    found = {
        each["therapist"].removeprefix(f"{source}-"): {name: each[name] for name in ("first", "next", "all", "open")}
        for each in ours
    }
    assert found == figures(trace)

    therapist = max(ours, key=lambda each: each["all"]["count"])
    one, *waits = told(variables, therapist["therapist"])
    assert one | {"as_of": ""} == therapist | {"as_of": ""}
    closed = [wait for wait in waits if wait["state"] == "closed"]
    assert len(closed) == one["all"]["count"]
    assert sum(wait["state"] == "open" for wait in waits) == one["open"]
    assert sorted(wait["response_ms"] for wait in closed)[-(-len(closed) // 2) - 1] == one["all"]["median_ms"]

    (early, *_) = told(variables, therapist["therapist"], "--to", waits[0]["opened_at"])
    assert early["all"]["count"] == 0
    assert therapist["therapist"] in run(variables, "figures", "--all").stdout


def test_a_question_that_cannot_be_understood_is_refused(variables: dict[str, str]) -> None:
    for arguments in ((), ("t", "--all"), ("--all", "--from", "yesterday"), ("--all", "--revision", "x")):
        done = run(variables, "figures", *arguments)
        assert done.returncode == 2
        assert "Error: " in done.stderr
