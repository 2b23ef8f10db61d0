"""The copies of gates as rows of the read model, in every service that has gates."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from holdspace.kernel.v1.gate_pb2 import GateCopied
from kernel.facts import instant
from kernel.projected import Last, Write
from kernel.replay import StoredFact

GATE_TABLES = Path(__file__).with_suffix(".sql")
GATE_STATEMENTS: Mapping[str, str] = {
    "copy_gate": """
insert into gate_copies (gate, subject, source, epoch, version, decided_at, source_type)
select * from unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::timestamptz[], $7::text[])
on conflict (gate, subject) do update
set source = excluded.source, epoch = excluded.epoch, version = excluded.version,
    decided_at = excluded.decided_at, source_type = excluded.source_type"""
}


def _values(_: StoredFact, copied: GateCopied) -> tuple[object, ...]:
    at = instant(copied.decided_at)
    return (copied.gate, copied.subject, copied.source, copied.epoch, copied.source_version, at, copied.source_type)


GATE_WRITES: Sequence[Write] = [Last("copy_gate", lambda copied: (copied.gate, copied.subject), _values)]
