"""The import contracts (.importlinter) hold, and see what breaks them."""

import os
import re
import shutil
import subprocess
import sysconfig
from pathlib import Path

from tests.architecture.sources import ROOT

# One import for each contract that it breaks.
FORBIDDEN = {
    "Services never import each other": ("services/messaging/sending.py", "import services.moderation.app"),
    "A domain reaches no IO, not through others either": ("kernel/decision.py", "import asyncpg"),
    "A domain asks for no time, chance, file or environment of its own": (
        "services/moderation/domain/reports.py",
        "import time",
    ),
    "Services do not import infra": ("services/response_sla/app.py", "import infra.topics"),
    "The kernel imports neither services nor infra": ("kernel/clock.py", "import infra.database"),
}


def lint(folder: Path) -> set[str]:
    """Returns the names of the contracts that are broken."""
    command = Path(sysconfig.get_path("scripts")) / "lint-imports"
    told = subprocess.run(
        [command, "--no-cache"], cwd=folder, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": ""}
    )
    broken = set(re.findall(r"^(.+) BROKEN$", told.stdout, re.MULTILINE))
    kept = set(re.findall(r"^(.+) KEPT$", told.stdout, re.MULTILINE))
    assert kept | broken == FORBIDDEN.keys(), told.stdout + told.stderr
    assert bool(told.returncode) == bool(broken)
    return broken


def test_the_project_keeps_its_import_contracts() -> None:
    assert lint(ROOT) == set()


def test_every_import_contract_sees_an_import_that_breaks_it(tmp_path: Path) -> None:
    for name in ("kernel", "services", "infra"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / ".importlinter", tmp_path)
    for path, line in FORBIDDEN.values():
        with (tmp_path / path).open("a") as file:
            file.write(f"\n{line}\n")
    assert lint(tmp_path) == FORBIDDEN.keys()
