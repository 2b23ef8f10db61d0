"""Rows that come out differently are built again: the definition of their read model is another one."""

from dataclasses import replace

import pytest

from infra.cli.store import definition_of
from infra.database import SERVICES
from services.messaging.projections import READ_MODEL
from tests.contract import rows


@pytest.mark.rule("PL2")
@pytest.mark.parametrize("service", SERVICES)
def test_what_a_fact_writes_changes_only_with_the_revision_of_its_read_model(service: str) -> None:
    before, now = rows.written()[service], rows.found(service)
    assert rows.unrevised(before, now) == [], "raise `revision` in projections.py, then python -m tests.contract.rows"
    assert now == before, "python -m tests.contract.rows"


@pytest.mark.rule("PL2")
def test_a_changed_row_without_a_new_revision_is_noticed() -> None:
    before = rows.found("messaging")
    changed = {**before, "rows": {**before["rows"], "holdspace.messaging.v1.MessageSent": "another"}}
    assert rows.unrevised(before, changed) == ["holdspace.messaging.v1.MessageSent"]
    assert rows.unrevised(before, {**changed, "revision": before["revision"] + 1}) == []


@pytest.mark.rule("PL2")
def test_another_revision_is_another_definition() -> None:
    assert replace(READ_MODEL, revision=READ_MODEL.revision + 1).definition != READ_MODEL.definition
    assert len({definition_of(service).read_model.definition for service in SERVICES}) == len(SERVICES)
