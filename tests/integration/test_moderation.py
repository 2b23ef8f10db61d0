"""Moderation as its callers meet it: what reports and decisions lead to."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from holdspace.moderation.v1.events_pb2 import (
    FINDING_BAD_FAITH,
    FINDING_DISMISSED,
    REINSTATEMENT_LIFTED,
    REINSTATEMENT_REVERSED,
    SEVERITY_DANGER,
    SEVERITY_HARASSMENT,
    SEVERITY_SPAM,
)
from holdspace.moderation.v1.service_pb2 import (
    STATE_BANNED,
    STATE_BRAKED,
    STATE_GOOD,
    STATE_SUSPENDED,
    BanClientRequest,
    BrakeClientRequest,
    ConfirmSuspensionRequest,
    DecideReportRequest,
    ListReportsRequest,
    ReinstateClientRequest,
    SuspendClientRequest,
    WarnClientRequest,
)
from holdspace.moderation.v1.service_pb2_grpc import ModerationServiceStub
from kernel.clock import ManualClock
from kernel.commands import CommandPath
from kernel.freshness import NoLane
from kernel.ids import RandomIds
from kernel.metrics import Metrics
from kernel.requests import reaction_request
from kernel.store.postgres import PostgresStore
from kernel.timers import Timers
from services.moderation.app import CLIENT_STANDING, ROUTES
from services.moderation.domain.decisions import SuspendClient
from services.moderation.domain.policy import DEFAULT
from services.moderation.reactions import timers
from services.moderation.wiring import MODERATION
from tests.calls import fresh, refused
from tests.integration import moderation_world
from tests.integration.moderation_world import (
    POLICY,
    RIGHTS,
    Elsewhere,
    all_pages,
    by_moderator,
    enrol,
    facts_of,
    imports_of,
    in_seconds,
    report,
    standing_of,
    until,
)
from tests.running import ServiceProcess

moderation, stub, elsewhere = moderation_world.moderation, moderation_world.stub, moderation_world.elsewhere
therapists, client = moderation_world.therapists, moderation_world.client


@pytest.mark.rule("MO4", "MO5")
async def test_one_report_of_danger_suspends_provisionally_and_the_answer_says_so(
    stub: Any, client: str, therapists: list[str]
) -> None:
    told = await stub.ReportClient(report(client, therapists[0], SEVERITY_DANGER))
    assert told.client_state == STATE_SUSPENDED
    standing = await standing_of(stub, client)
    assert (standing.state, standing.provisional, standing.policy_version) == (STATE_SUSPENDED, True, POLICY)
    assert (standing.score, standing.reporters, standing.reports.undecided) == (4_000, 1, 1)
    assert [p.state for p in standing.phases] == [STATE_SUSPENDED, STATE_BRAKED, STATE_GOOD]
    ends = [p.until.ToDatetime(UTC) - told.reported_at.ToDatetime(UTC) for p in standing.phases[:2]]
    assert ends == [timedelta(hours=24), timedelta(days=8)]
    assert standing.since == told.reported_at


@pytest.mark.rule("MO4.h", "MO10")
async def test_spam_brakes_by_two_reporters_and_suspends_by_four(stub: Any, client: str, therapists: list[str]) -> None:
    told = [(await stub.ReportClient(report(client, therapist))).client_state for therapist in therapists[:4]]
    assert told == [STATE_GOOD, STATE_BRAKED, STATE_BRAKED, STATE_SUSPENDED]


@pytest.mark.rule("MO10")
async def test_reports_of_three_therapists_at_the_same_moment_suspend_once(
    moderation: ServiceProcess, stub: Any, client: str, therapists: list[str]
) -> None:
    await asyncio.gather(
        *(stub.ReportClient(report(client, therapist, SEVERITY_HARASSMENT)) for therapist in therapists)
    )
    facts = await facts_of(moderation.database_url, f"client-{client}")
    assert [facts.count(name) for name in ("ClientReported", "ClientBraked", "ClientSuspended")] == [5, 1, 1]


@pytest.mark.rule("MO6.c")
async def test_of_six_people_whom_one_reporter_reports_at_the_same_moment_five_are_suspended_and_a_person_is_asked(
    moderation: ServiceProcess, stub: Any, elsewhere: Elsewhere, therapists: list[str]
) -> None:
    reporter, people = therapists[0], [f"client-{fresh()}" for _ in range(6)]
    for person in people:
        await elsewhere.client_wrote_to(person, reporter)
    for person in people:
        await until(lambda person=person: facts_of(moderation.database_url, f"client-{person}"))
    made = [report(person, reporter, SEVERITY_DANGER) for person in people]
    told = await asyncio.gather(*(stub.ReportClient(asked) for asked in made))
    assert sorted(answer.client_state for answer in told) == [STATE_GOOD] + [STATE_SUSPENDED] * 5
    [spared] = [n for n, answer in enumerate(told) if answer.client_state == STATE_GOOD]
    assert await stub.ReportClient(made[spared]) == told[spared]
    listed = [
        (await stub.ListReports(ListReportsRequest(client_id=person, at_least=answer.revision))).reports
        for person, answer in zip(people, told, strict=True)
    ]
    assert [[each.needs_person for each in of_person] for of_person in listed] == [[n == spared] for n in range(6)]

    late = f"client-{fresh()}"
    seventh = await stub.ReportClient(report(late, reporter, SEVERITY_DANGER))
    await elsewhere.client_wrote_to(late, reporter)

    async def person_asked_first() -> bool:
        asked = ListReportsRequest(client_id=late, at_least=seventh.revision)
        [waiting] = (await stub.ListReports(asked)).reports
        return waiting.needs_person and waiting.contact_seen

    await until(person_asked_first)
    assert (await standing_of(stub, late)).state == STATE_GOOD


@pytest.mark.rule("PL4")
async def test_a_report_made_again_with_its_request_id_is_one_report_with_one_answer(
    moderation: ServiceProcess, stub: Any, client: str, therapists: list[str]
) -> None:
    asked = report(client, therapists[0], SEVERITY_DANGER)
    answers = await asyncio.gather(*(stub.ReportClient(asked) for _ in range(20)))
    assert len({answer.SerializeToString() for answer in answers}) == 1
    await stub.ReinstateClient(ReinstateClientRequest(**by_moderator(client), reinstatement=REINSTATEMENT_LIFTED))
    assert await stub.ReportClient(asked) == answers[0]  # As it was answered, though the client is free again.
    async with moderation.channel(*RIGHTS, subject="mobile") as other:
        again = await ModerationServiceStub(other).ReportClient(asked)
    assert (again.report_id, again.reported_at) == (answers[0].report_id, answers[0].reported_at)
    assert (await standing_of(stub, client)).reports.undecided == 1
    asked.severity = SEVERITY_SPAM
    assert await refused(stub.ReportClient(asked)) == ("INVALID_ARGUMENT", "REQUEST_REUSED", "request_id")


@pytest.mark.rule("MO4")
async def test_every_decision_made_again_has_one_effect_and_its_first_answer(stub: Any, client: str) -> None:
    asked = BrakeClientRequest(**by_moderator(client), policy_version=POLICY)
    first = await stub.BrakeClient(asked)
    await stub.BanClient(BanClientRequest(**by_moderator(client)))
    assert await stub.BrakeClient(asked) == first
    assert (await standing_of(stub, client)).state == STATE_BANNED


@pytest.mark.rule("MO1")
@pytest.mark.parametrize("imported_from", ["", "old-system"])
async def test_a_report_scores_when_the_contact_arrives_after_it_imported_or_not(
    moderation: ServiceProcess, stub: Any, elsewhere: Elsewhere, therapists: list[str], imported_from: str
) -> None:
    client = f"client-{fresh()}"
    told = await stub.ReportClient(report(client, therapists[0], SEVERITY_DANGER))
    assert told.client_state == STATE_GOOD
    standing = await standing_of(stub, client)
    assert (standing.score, standing.reports.without_contact) == (0, 1)

    await elsewhere.client_wrote_to(client, therapists[0], imported_from=imported_from)

    async def suspended() -> bool:
        return (await standing_of(stub, client)).state == STATE_SUSPENDED

    await until(suspended)
    assert await imports_of(moderation.database_url, f"client-{client}") == {
        "ContactSeen": imported_from,
        **dict.fromkeys(["ClientReported", "ReportWeighed", "SuspensionDue", "ClientSuspended"], ""),
    }


@pytest.mark.rule("MO4.a")
async def test_a_client_is_warned_braked_suspended_confirmed_banned_and_reinstated(
    stub: Any, client: str, therapists: list[str]
) -> None:
    warned = await stub.WarnClient(WarnClientRequest(**by_moderator(client), policy_version=POLICY))
    assert (warned.standing.state, warned.standing.warnings) == (STATE_GOOD, 1)
    braked = await stub.BrakeClient(BrakeClientRequest(**by_moderator(client), policy_version=POLICY))
    assert [p.state for p in braked.standing.phases] == [STATE_BRAKED, STATE_GOOD]
    await stub.ReportClient(report(client, therapists[0], SEVERITY_DANGER))
    confirmed = await stub.ConfirmSuspension(ConfirmSuspensionRequest(**by_moderator(client)))
    assert (confirmed.standing.state, confirmed.standing.provisional) == (STATE_SUSPENDED, False)
    assert [p.HasField("until") for p in confirmed.standing.phases] == [False]
    ban = await stub.BanClient(BanClientRequest(**by_moderator(client)))
    assert ban.standing.state == STATE_BANNED
    back = await stub.ReinstateClient(
        ReinstateClientRequest(**by_moderator(client), reinstatement=REINSTATEMENT_REVERSED)
    )
    assert back.standing.state == STATE_GOOD
    assert back.standing == await standing_of(stub, client)


@pytest.mark.rule("MO4")
async def test_a_timed_suspension_ends_by_itself_in_a_brake_and_the_brake_in_good_standing(
    moderation: ServiceProcess, stub: Any, client: str
) -> None:
    await stub.SuspendClient(SuspendClientRequest(**by_moderator(client), policy_version=POLICY, until=in_seconds(0.6)))

    async def lapsed(fact: str) -> bool:
        return fact in await facts_of(moderation.database_url, f"client-{client}")

    assert (await standing_of(stub, client)).state == STATE_SUSPENDED
    await until(lambda: lapsed("SuspensionLapsed"))
    assert (await standing_of(stub, client)).state == STATE_BRAKED
    await stub.BrakeClient(BrakeClientRequest(**by_moderator(client), policy_version=POLICY, until=in_seconds(0.4)))
    await until(lambda: lapsed("BrakeLapsed"))
    assert (await standing_of(stub, client)).state == STATE_GOOD


@pytest.mark.rule("MO4.g")
async def test_timers_lapse_measures_by_business_time(database_url: str) -> None:
    clock, metrics = ManualClock(datetime(2026, 3, 2, 9, tzinfo=UTC)), Metrics(CollectorRegistry())
    store = PostgresStore(database_url, "moderation", metrics)
    await store.open()
    try:
        path = CommandPath("moderation", store, MODERATION.own_facts, ROUTES, RandomIds(), metrics, NoLane())
        due = Timers(store, path, timers(DEFAULT), clock, metrics)
        suspend = SuspendClient("c", "moderator", clock.now() + timedelta(days=30), DEFAULT, clock.now())
        await path.run(suspend, reaction_request("test"))
        seen = []
        for days in (29, 1, 6, 1, 100):
            clock.advance(timedelta(days=days))
            while await due.step():
                pass
            seen.append((await facts_of(database_url, "client-c"))[-1])
        assert seen == ["ClientSuspended", "SuspensionLapsed", "SuspensionLapsed", "BrakeLapsed", "BrakeLapsed"]
        assert (await path.state("client-c", CLIENT_STANDING)).at(clock.now()) == "GOOD"
    finally:
        await store.close()


@pytest.mark.rule("MO1", "MO10")
async def test_a_finding_of_bad_faith_counts_against_the_reporters_later_reports(
    moderation: ServiceProcess, stub: Any, elsewhere: Elsewhere, client: str
) -> None:
    liar, other = f"therapist-{fresh()}", f"client-{fresh()}"
    await enrol(moderation, elsewhere, [liar])
    await elsewhere.client_wrote_to(client, liar)
    await elsewhere.client_wrote_to(other, liar)
    await until(lambda: facts_of(moderation.database_url, f"client-{other}"))
    lie = await stub.ReportClient(report(client, liar))
    decided = await stub.DecideReport(
        DecideReportRequest(**by_moderator(client), report_id=lie.report_id, finding=FINDING_BAD_FAITH)
    )
    assert (decided.report.finding, decided.report.moderator_id) == (FINDING_BAD_FAITH, "moderator")
    assert decided.standing.reports.bad_faith == 1
    await until(lambda: facts_of(moderation.database_url, f"reporter-{liar}"))
    await stub.ReportClient(report(other, liar, SEVERITY_HARASSMENT))
    assert (await standing_of(stub, other)).score == 1_000  # 2 by half


@pytest.mark.rule("PL4")
async def test_reports_are_listed_oldest_first_in_pages_for_one_client_or_while_undecided(
    stub: Any, client: str, therapists: list[str]
) -> None:
    after = {"conversation_id": "c1", "last_message_sequence": 2**40}
    made = [await stub.ReportClient(report(client, therapist, **after)) for therapist in therapists]
    decided = await stub.DecideReport(
        DecideReportRequest(**by_moderator(client), report_id=made[1].report_id, finding=FINDING_DISMISSED)
    )
    asked = ListReportsRequest(client_id=client, page_size=2, at_least=decided.revision)
    listed = await all_pages(stub, asked)
    assert [r.report_id for r in listed] == [answer.report_id for answer in made]
    assert listed[1] == decided.report
    assert {r.contact_seen for r in listed} == {True}
    assert {(r.conversation_id, r.last_message_sequence) for r in listed} == {("c1", 2**40)}
    undecided = await all_pages(stub, ListReportsRequest(client_id=client, undecided=True, page_size=3))
    assert [r.report_id for r in undecided] == [made[n].report_id for n in (0, 2, 3, 4)]
    everybodys = await all_pages(stub, ListReportsRequest(undecided=True, page_size=3))
    assert [r.report_id for r in everybodys if r.client_id == client] == [r.report_id for r in undecided]
    assert [r.reported_at.ToNanoseconds() for r in everybodys] == sorted(
        r.reported_at.ToNanoseconds() for r in everybodys
    )


async def test_a_client_nobody_knows_is_in_good_standing(stub: Any) -> None:
    standing = await standing_of(stub, f"client-{fresh()}")
    assert (standing.state, standing.score, standing.HasField("since")) == (STATE_GOOD, 0, False)
    assert [p.state for p in standing.phases] == [STATE_GOOD]
