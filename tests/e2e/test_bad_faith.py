"""What a finding of bad faith undoes, from moderation's decision to the reporter's figures."""

import pytest

from holdspace.moderation.v1.events_pb2 import FINDING_BAD_FAITH, SEVERITY_DANGER
from holdspace.moderation.v1.service_pb2 import (
    BanClientRequest,
    ConfirmSuspensionRequest,
    DecideReportRequest,
    ReportClientRequest,
    State,
)
from holdspace.response_sla.v1.service_pb2 import GetFiguresRequest
from infra.demo.world import World, fresh, until
from tests.e2e import test_stories
from tests.e2e.platform import Platform, eventually
from tests.e2e.test_stories import contact_seen, enrolled

world = test_stories.world


@pytest.mark.rule("SL4.f", "MO10")
async def test_bad_faith_brings_the_reporters_wait_back_although_a_person_had_confirmed_and_banned_on_it(
    platform: Platform, world: World
) -> None:
    [liar] = await enrolled(world, "liar")
    client = world.person("client")
    moderation = world.callers.moderation
    await until(world.write(client, liar))
    await eventually(lambda: contact_seen(platform, client, 1))
    told = await moderation.ReportClient(
        ReportClientRequest(request_id=fresh(), reporter_id=liar, client_id=client, severity=SEVERITY_DANGER)
    )
    assert told.client_state == State.STATE_SUSPENDED
    by = {"moderator_id": world.person("moderator"), "client_id": client}
    await moderation.ConfirmSuspension(ConfirmSuspensionRequest(request_id=fresh(), **by))
    await moderation.BanClient(BanClientRequest(request_id=fresh(), **by))

    async def counted(excluded: int, open_: int) -> bool:
        figures = await world.callers.response_sla.GetFigures(GetFiguresRequest(therapist_id=liar))
        return (figures.all.excluded, figures.all.voided, figures.all.open) == (excluded, 0, open_)

    async def all_measures_noted() -> bool:
        facts = await platform.facts("response_sla", f"person-{client}")
        return sum(fact.type.endswith(".StandingNoted") for fact in facts) == 3

    await eventually(all_measures_noted)
    await eventually(lambda: counted(1, 0))
    await moderation.DecideReport(
        DecideReportRequest(request_id=fresh(), report_id=told.report_id, finding=FINDING_BAD_FAITH, **by)
    )
    await eventually(lambda: counted(0, 1))
