"""An interrupted bench stops its servers."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

ROUNDS = "1000"
SECONDS_MAX = 60


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_an_interrupted_bench_stops_its_servers_and_leaves_nothing(tmp_path: Path, how: signal.Signals) -> None:
    told = tmp_path / "told"
    unset = {"HOLDSPACE_DATABASE_URL", "HOLDSPACE_KAFKA"}
    environment = {name: value for name, value in os.environ.items() if name not in unset}
    with told.open("wb") as output:
        bench = subprocess.Popen(
            [sys.executable, "-m", "tests.load", "--only", "P3", "--rounds", ROUNDS],
            env={**environment, "HOLDSPACE_ENVIRONMENT": "local", "TMPDIR": str(tmp_path)},
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),  # as a shell does in the background
        )
    try:
        until_it_measures(told, bench)
        servers = psutil.Process(bench.pid).children(recursive=True)
        assert servers
        bench.send_signal(how)
        assert bench.wait(SECONDS_MAX) == 1
    finally:
        if bench.poll() is None:
            bench.terminate()
            bench.wait(SECONDS_MAX)
    assert told.read_text().endswith("interrupted; the servers are stopped\n")
    assert not any(server.is_running() for server in servers)
    assert [path.name for path in tmp_path.iterdir()] == ["told"]


def until_it_measures(told: Path, bench: "subprocess.Popen[bytes]") -> None:
    """Looks at what it told, ten times a second: it is a process of its own and says so nowhere else."""
    ends_at = time.monotonic() + SECONDS_MAX
    while f"round 1 of {ROUNDS}" not in told.read_text():
        assert bench.poll() is None, told.read_text()
        assert time.monotonic() < ends_at, told.read_text()
        time.sleep(0.1)
