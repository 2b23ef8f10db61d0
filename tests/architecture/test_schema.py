"""The schema one reads is the schema that the migrations make."""

import asyncpg
import pytest

from infra.database import SERVICES
from kernel.migrate import migrations
from services.age_verification.wiring import AGE_VERIFICATION
from services.messaging.wiring import MESSAGING
from services.moderation.wiring import MODERATION
from services.response_sla.wiring import RESPONSE_SLA
from services.scheduling.wiring import SCHEDULING
from tests.architecture.schema import HEAD, SCHEMA, dump, migrated

DEFINITIONS = {each.name: each for each in (AGE_VERIFICATION, MESSAGING, MODERATION, RESPONSE_SLA, SCHEDULING)}


def test_every_service_is_migrated() -> None:
    assert DEFINITIONS.keys() == set(SERVICES)


@pytest.mark.parametrize("service", SERVICES)
async def test_all_migrations_make_the_schema_that_is_written_down(database_url: str, service: str) -> None:
    folder = DEFINITIONS[service].migrations
    written = (folder or SCHEMA.parent) / SCHEMA.name
    made = HEAD + await migrated(database_url, service, folder)
    assert made == written.read_text(), "python -m tests.architecture.schema"


async def test_a_column_more_is_found(database_url: str) -> None:
    connection = await asyncpg.connect(database_url, server_settings={"role": "messaging_owner"})
    await connection.execute("alter table messaging.timers add column note text")
    await connection.close()
    changed = set(dump(database_url, "messaging").splitlines()) - set(SCHEMA.read_text().splitlines())
    assert [line for line in changed if "note" in line] == ["    note text"]


@pytest.mark.parametrize("service", SERVICES)
def test_migrations_are_numbered_without_gaps_across_both_phases(service: str) -> None:
    folder = DEFINITIONS[service].migrations
    names = [each.name for phase in ("pre", "post") for each in migrations(service, folder, phase)]
    kernel = sorted(name.split("/")[1][:4] for name in names if name.startswith("kernel/"))
    assert kernel == [f"{number:04d}" for number in range(1, len(kernel) + 1)]
