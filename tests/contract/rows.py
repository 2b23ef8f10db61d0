"""What every read model makes of the golden facts: `python -m tests.contract.rows` writes it down.

A live read model is built again when its definition changes. SQL is part of that; what Python makes of a fact shows
only here. So rows that differ from those written down need a higher `revision`, or live ones would stay as they are.
"""

import hashlib
import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from infra.cli.store import definition_of
from infra.database import SERVICES
from kernel.projected import Write
from kernel.read_model import ReadModel
from kernel.replay import SERVER_EPOCH, StoredFact
from tests.contract import golden

PATH = Path(__file__).parent / "rows.json"
RECORDED = (datetime(2026, 3, 2, 12, 30, 16, tzinfo=UTC) - SERVER_EPOCH) // timedelta(microseconds=1)

Service = dict[str, Any]


def found(service: str) -> Service:
    """Returns the revision, and by fact type a digest over what it writes."""
    model = definition_of(service).read_model
    return {
        "revision": model.revision,
        "rows": {message.DESCRIPTOR.full_name: digest_of(model, message) for message in model.writes},
    }


def digest_of(model: ReadModel, message: type[Any]) -> str:
    written = []
    for example in golden.read(message.DESCRIPTOR.full_name):
        envelope, payload = next(golden.types().open_all([example.fact]))
        fact = StoredFact(7, RECORDED, envelope, payload)
        written += [(names(write), write.values(fact, payload)) for write in model.writes[message]]
    return hashlib.sha256(repr(written).encode()).hexdigest()[:16]


def names(write: Write) -> str:
    """Returns what the write is, without its functions: those have other names in each process."""
    values = [getattr(write, field) for field in write.__slots__]
    return repr([value for value in values if not callable(value)])


def written() -> dict[str, Service]:
    known: dict[str, Service] = json.loads(PATH.read_text()) if PATH.exists() else {}
    return known


def unrevised(before: Service, now: Service) -> list[str]:
    """Returns the fact types whose rows changed while the revision did not rise."""
    if now["revision"] > before["revision"]:
        return []
    return [name for name, rows in before["rows"].items() if now["rows"].get(name, rows) != rows]


def main() -> None:
    now, before = {service: found(service) for service in SERVICES}, written()
    if wrong := [name for service in before for name in unrevised(before[service], now[service])]:
        sys.exit(f"raise `revision` in projections.py first: the rows changed of {', '.join(wrong)}")
    PATH.write_text(json.dumps(now, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
