"""Moderation as its callers meet it: one process of the service, called over gRPC, fed by other services' topics."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import Message
from prometheus_client import CollectorRegistry

from holdspace.messaging.v1 import events_pb2 as messaging_events
from holdspace.messaging.v1.events_pb2 import ConversationOpened
from holdspace.moderation.v1.events_pb2 import (
    FINDING_BAD_FAITH,
    FINDING_DISMISSED,
    FINDING_UPHELD,
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
    GetClientStandingRequest,
    ListReportsRequest,
    ReinstateClientRequest,
    Report,
    ReportClientRequest,
    SuspendClientRequest,
    WarnClientRequest,
)
from holdspace.moderation.v1.service_pb2_grpc import ModerationServiceStub
from holdspace.scheduling.v1 import events_pb2 as scheduling_events
from holdspace.scheduling.v1.events_pb2 import TherapistEnrolled
from infra.local.servers import Servers
from kernel.clock import ManualClock
from kernel.commands import CommandPath
from kernel.facts import FactTypes, Origin, open_envelope, timestamp
from kernel.gates import phase
from kernel.grpc.client import channel
from kernel.ids import RandomIds
from kernel.metrics import Metrics
from kernel.relay.headers import Headers
from kernel.requests import reaction_request
from kernel.store.connections import connect
from kernel.store.postgres import PostgresStore
from kernel.timers import Timers
from services.moderation.app import CLIENT_STANDING, ROUTES
from services.moderation.domain.decisions import SuspendClient
from services.moderation.domain.policy import DEFAULT
from services.moderation.reactions import timers
from services.moderation.wiring import MODERATION
from tests.calls import count_facts, fresh, refused
from tests.integration.published import Written, publish
from tests.running import ServiceProcess

RIGHTS = ("moderation.report", "moderation.decide", "moderation.read")
POLICY = DEFAULT.version
MESSAGING_TOPIC, ENROLMENT_TOPIC = "holdspace.messaging.v1", "holdspace.enrolment.v1"


@pytest.fixture(scope="module")
def moderation(
    servers: Servers, module_database_url: str, credentials: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServiceProcess]:
    folder = tmp_path_factory.mktemp("moderation")
    process = ServiceProcess("moderation", servers, module_database_url, credentials, folder)
    yield process.start()
    assert process.stop() == 0, process.log.read_text()[-2000:]


@pytest.fixture
async def stub(moderation: ServiceProcess) -> AsyncIterator[Any]:
    async with moderation.channel(*RIGHTS) as open_channel:
        yield ModerationServiceStub(open_channel)


class Elsewhere:
    """The other services, as far as moderation meets them: facts on their topics, in the order of one store each."""

    def __init__(self, kafka: str) -> None:
        self._kafka = kafka
        self._types = FactTypes(messaging_events, scheduling_events)
        self._positions = count(1)
        self._cell = fresh()

    async def client_wrote_to(self, client: str, therapist: str, *, imported_from: str = "") -> None:
        opened = ConversationOpened(conversation_id=fresh(), client_id=client, therapist_id=therapist)
        await self._publish(MESSAGING_TOPIC, "messaging", client, opened, imported_from)

    async def enrolled(self, therapist: str) -> None:
        fact = TherapistEnrolled(therapist_id=therapist, enrolment=[phase("ENROLLED")])
        await self._publish(ENROLMENT_TOPIC, "scheduling", therapist, fact, "")

    async def _publish(self, topic: str, service: str, key: str, fact: Message, imported_from: str) -> None:
        now, position = datetime.now(UTC), next(self._positions)
        sealed = self._types.seal(fact, fresh(), now, Origin(service, imported_from=imported_from))
        headers = Headers(f"{service}/{self._cell}/1", position, f"{service}-{key}", 1, now)
        await publish(self._kafka, topic, [Written(key, sealed, headers.encode())])


@pytest.fixture(scope="module")
def elsewhere(servers: Servers) -> Elsewhere:
    return Elsewhere(servers.kafka)


async def until(ask: Callable[[], Awaitable[Any]], seconds_max: float = 20) -> Any:
    """Asks until the answer is true; returns it."""
    deadline = time.monotonic() + seconds_max
    while not (answer := await ask()):
        assert time.monotonic() < deadline, "not within the time"
        await asyncio.sleep(0.05)
    return answer


async def facts_of(database_url: str, stream: str) -> list[str]:
    """Returns the short names of a stream's facts, in order."""
    connection = await connect(database_url, role="moderation_api", search_path="moderation, public")
    try:
        rows = await connection.fetch("select fact from facts where stream = $1 order by version", stream)
    finally:
        await connection.close()
    return [open_envelope(row["fact"]).type.rpartition(".")[2] for row in rows]


@pytest.fixture(scope="module")
def therapists(moderation: ServiceProcess, elsewhere: Elsewhere) -> list[str]:
    """Five enrolled ones."""
    names = [f"therapist-{fresh()}" for _ in range(5)]
    asyncio.run(enrol(moderation, elsewhere, names))
    return names


async def enrol(moderation: ServiceProcess, elsewhere: Elsewhere, names: list[str]) -> None:
    for name in names:
        await elsewhere.enrolled(name)
    for name in names:
        await until(lambda name=name: facts_of(moderation.database_url, f"gate-enrolment-{name}"))


@pytest.fixture
async def client(moderation: ServiceProcess, elsewhere: Elsewhere, therapists: list[str]) -> str:
    """Somebody who wrote to all of them."""
    name = f"client-{fresh()}"
    for therapist in therapists:
        await elsewhere.client_wrote_to(name, therapist)

    async def all_seen() -> bool:
        return len(await facts_of(moderation.database_url, f"client-{name}")) == len(therapists)

    await until(all_seen)
    return name


def report(client: str, reporter: str, severity: int = SEVERITY_SPAM, **more: Any) -> ReportClientRequest:
    return ReportClientRequest(
        **{"request_id": fresh(), "client_id": client, "reporter_id": reporter, "severity": severity, **more}
    )


def by_moderator(client: str, **more: Any) -> dict[str, Any]:
    return {"request_id": fresh(), "moderator_id": "moderator", "client_id": client, **more}


async def standing_of(stub: Any, client: str) -> Any:
    return (await stub.GetClientStanding(GetClientStandingRequest(client_id=client))).standing


def in_seconds(seconds: float) -> Any:
    return timestamp(datetime.now(UTC) + timedelta(seconds=seconds))


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


@pytest.mark.rule("MO10")
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
        "ClientReported": "", "ReportWeighed": "", "ContactSeen": imported_from, "ClientSuspended": ""
    }  # fmt: skip


async def imports_of(database_url: str, stream: str) -> dict[str, str]:
    """Returns where each fact of the stream was imported from: a measure of today never is."""
    connection = await connect(database_url, role="moderation_api", search_path="moderation, public")
    try:
        rows = await connection.fetch("select fact from facts where stream = $1", stream)
    finally:
        await connection.close()
    envelopes = [open_envelope(row["fact"]) for row in rows]
    return {envelope.type.rpartition(".")[2]: envelope.imported_from for envelope in envelopes}


@pytest.mark.rule("MO4")
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


@pytest.mark.rule("MO4")
async def test_timers_lapse_measures_by_business_time(database_url: str) -> None:
    clock, metrics = ManualClock(datetime(2026, 3, 2, 9, tzinfo=UTC)), Metrics(CollectorRegistry())
    store = PostgresStore(database_url, "moderation", metrics)
    await store.open()
    try:
        path = CommandPath("moderation", store, MODERATION.own_facts, ROUTES, RandomIds(), metrics)
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
    made = [await stub.ReportClient(report(client, therapist)) for therapist in therapists]
    decided = await stub.DecideReport(
        DecideReportRequest(**by_moderator(client), report_id=made[1].report_id, finding=FINDING_DISMISSED)
    )
    asked = ListReportsRequest(client_id=client, page_size=2, at_least=decided.revision)
    listed = await all_pages(stub, asked)
    assert [r.report_id for r in listed] == [answer.report_id for answer in made]
    assert listed[1] == decided.report
    assert {r.contact_seen for r in listed} == {True}
    undecided = await all_pages(stub, ListReportsRequest(client_id=client, undecided=True, page_size=3))
    assert [r.report_id for r in undecided] == [made[n].report_id for n in (0, 2, 3, 4)]
    everybodys = await all_pages(stub, ListReportsRequest(undecided=True, page_size=3))
    assert [r.report_id for r in everybodys if r.client_id == client] == [r.report_id for r in undecided]
    assert [r.reported_at.ToNanoseconds() for r in everybodys] == sorted(
        r.reported_at.ToNanoseconds() for r in everybodys
    )


async def all_pages(stub: Any, asked: ListReportsRequest) -> list[Report]:
    found: list[Report] = []
    while True:
        listed = await stub.ListReports(asked)
        assert len(listed.reports) <= asked.page_size
        found += listed.reports
        if not listed.next_page_token:
            return found
        asked.page_token = listed.next_page_token


async def test_a_page_token_fits_only_its_own_list(stub: Any, client: str, therapists: list[str]) -> None:
    told = [await stub.ReportClient(report(client, therapist)) for therapist in therapists[:2]]
    asked = ListReportsRequest(client_id=client, page_size=1, at_least=told[1].revision)
    asked.page_token = (await stub.ListReports(asked)).next_page_token
    asked.undecided = True
    assert await refused(stub.ListReports(asked)) == ("INVALID_ARGUMENT", "PAGE_TOKEN_STALE", "page_token")
    asked.page_token = "forged"
    assert await refused(stub.ListReports(asked)) == ("INVALID_ARGUMENT", "PAGE_TOKEN_STALE", "page_token")


async def test_a_client_nobody_knows_is_in_good_standing(stub: Any) -> None:
    standing = await standing_of(stub, f"client-{fresh()}")
    assert (standing.state, standing.score, standing.HasField("since")) == (STATE_GOOD, 0, False)
    assert [p.state for p in standing.phases] == [STATE_GOOD]


BAD_REPORTS = {
    "no request id": ({"request_id": ""}, "FIELD_MISSING", "request_id"),
    "a malformed request id": ({"request_id": "a b"}, "FIELD_MALFORMED", "request_id"),
    "no client": ({"client_id": ""}, "FIELD_MISSING", "client_id"),
    "an over-long client": ({"client_id": "c" * 65}, "FIELD_MALFORMED", "client_id"),
    "a client with a NUL": ({"client_id": "c\0"}, "FIELD_MALFORMED", "client_id"),
    "no severity": ({"severity": 0}, "FIELD_MISSING", "severity"),
    "an unknown severity": ({"severity": 9}, "FIELD_MALFORMED", "severity"),
}


@pytest.mark.parametrize("bad", BAD_REPORTS)
async def test_a_bad_report_is_refused_with_its_field_and_appends_nothing(
    stub: Any, client: str, therapists: list[str], module_database_url: str, bad: str
) -> None:
    fields, reason, field = BAD_REPORTS[bad]
    before = await count_facts(module_database_url, "moderation")
    assert await refused(stub.ReportClient(report(client, therapists[0], **fields))) == (
        "INVALID_ARGUMENT", reason, field
    )  # fmt: skip
    assert await count_facts(module_database_url, "moderation") == before


REFUSED_DECISIONS: dict[str, tuple[str, Callable[[str], Message], tuple[str, str, str]]] = {
    "a report nobody made": (
        "DecideReport",
        lambda c: DecideReportRequest(**by_moderator(c), report_id="none", finding=FINDING_UPHELD),
        ("NOT_FOUND", "REPORT_UNKNOWN", "report_id"),
    ),
    "no finding": (
        "DecideReport",
        lambda c: DecideReportRequest(**by_moderator(c), report_id="none"),
        ("INVALID_ARGUMENT", "FIELD_MISSING", "finding"),
    ),
    "a policy nobody knows": (
        "WarnClient",
        lambda c: WarnClientRequest(**by_moderator(c), policy_version="other"),
        ("INVALID_ARGUMENT", "POLICY_UNKNOWN", "policy_version"),
    ),
    "no policy": (
        "SuspendClient",
        lambda c: SuspendClientRequest(**by_moderator(c)),
        ("INVALID_ARGUMENT", "FIELD_MISSING", "policy_version"),
    ),
    "an end in the past": (
        "SuspendClient",
        lambda c: SuspendClientRequest(**by_moderator(c), policy_version=POLICY, until=in_seconds(-1)),
        ("INVALID_ARGUMENT", "END_OUT_OF_RANGE", "until"),
    ),
    "an end nobody lives to see": (
        "BrakeClient",
        lambda c: BrakeClientRequest(**by_moderator(c), policy_version=POLICY, until={"seconds": 253_402_300_799}),
        ("INVALID_ARGUMENT", "END_OUT_OF_RANGE", "until"),
    ),
    "an end that is no time": (
        "BrakeClient",
        lambda c: BrakeClientRequest(**by_moderator(c), policy_version=POLICY, until={"nanos": -1}),
        ("INVALID_ARGUMENT", "FIELD_MALFORMED", "until"),
    ),
    "nothing to confirm": (
        "ConfirmSuspension",
        lambda c: ConfirmSuspensionRequest(**by_moderator(c)),
        ("FAILED_PRECONDITION", "NOT_PROVISIONAL", "client_id"),
    ),
    "nothing to reinstate": (
        "ReinstateClient",
        lambda c: ReinstateClientRequest(**by_moderator(c), reinstatement=REINSTATEMENT_LIFTED),
        ("FAILED_PRECONDITION", "NOTHING_TO_REINSTATE", "client_id"),
    ),
    "a moderator who is the client": (
        "BanClient",
        lambda c: BanClientRequest(request_id=fresh(), client_id=c, moderator_id=c),
        ("PERMISSION_DENIED", "MODERATOR_INVOLVED", "moderator_id"),
    ),
}


@pytest.mark.parametrize("refusal", REFUSED_DECISIONS)
async def test_a_decision_is_refused_with_its_reason_and_appends_nothing(
    stub: Any, client: str, module_database_url: str, refusal: str
) -> None:
    method, request, answer = REFUSED_DECISIONS[refusal]
    before = await count_facts(module_database_url, "moderation")
    assert await refused(getattr(stub, method)(request(client))) == answer
    assert await count_facts(module_database_url, "moderation") == before


@pytest.mark.rule("MO4")
async def test_what_does_not_fit_the_standing_is_refused(stub: Any, client: str) -> None:
    await stub.SuspendClient(SuspendClientRequest(**by_moderator(client), policy_version=POLICY))
    lesser = BrakeClientRequest(**by_moderator(client), policy_version=POLICY)
    assert await refused(stub.BrakeClient(lesser)) == ("FAILED_PRECONDITION", "CLIENT_SUSPENDED", "client_id")
    await stub.BanClient(BanClientRequest(**by_moderator(client)))
    for method, request in (
        (stub.BrakeClient, BrakeClientRequest(**by_moderator(client), policy_version=POLICY)),
        (stub.SuspendClient, SuspendClientRequest(**by_moderator(client), policy_version=POLICY)),
        (stub.BanClient, BanClientRequest(**by_moderator(client))),
    ):
        assert await refused(method(request)) == ("FAILED_PRECONDITION", "CLIENT_BANNED", "client_id")


@pytest.mark.rule("PL5")
async def test_calls_without_deadline_token_right_or_person_are_refused(
    moderation: ServiceProcess, stub: Any, client: str, therapists: list[str]
) -> None:
    asked = report(client, therapists[0])
    assert await refused(stub.ReportClient(asked, timeout=None)) == ("INVALID_ARGUMENT", "DEADLINE_MISSING", "")
    assert await refused(stub.ReportClient(asked, metadata=())) == ("UNAUTHENTICATED", "TOKEN_MISSING", "")
    async with channel(moderation.target, "not.a.token") as wrong, moderation.channel("moderation.read") as lacking:
        assert await refused(ModerationServiceStub(wrong).ReportClient(asked)) == (
            "UNAUTHENTICATED", "TOKEN_INVALID", ""
        )  # fmt: skip
        assert await refused(ModerationServiceStub(lacking).ReportClient(asked)) == (
            "PERMISSION_DENIED", "RIGHT_MISSING", ""
        )  # fmt: skip
    async with moderation.channel(*RIGHTS, subject=therapists[1], kind="person") as theirs:
        assert await refused(ModerationServiceStub(theirs).ReportClient(asked)) == (
            "PERMISSION_DENIED", "PERSON_NOT_YOURS", "reporter_id"
        )  # fmt: skip


@pytest.mark.rule("PL8")
async def test_a_reporter_nobody_enrolled_is_refused_and_only_fresh_copies_say_so(
    moderation: ServiceProcess, stub: Any, client: str, therapists: list[str], module_database_url: str
) -> None:
    stranger = f"therapist-{fresh()}"
    await declare_fresh(module_database_url)
    before = await count_facts(module_database_url, "moderation")

    async def answer() -> tuple[str, str, str] | None:
        told = await refused(stub.ReportClient(report(client, stranger)))
        assert told[1] in ("GATE_STALE", "REPORTER_UNKNOWN")
        return told if told[1] == "REPORTER_UNKNOWN" else None

    assert await until(answer) == ("NOT_FOUND", "REPORTER_UNKNOWN", "reporter_id")
    assert await count_facts(module_database_url, "moderation") == before


async def declare_fresh(database_url: str) -> None:
    """As if a relay of scheduling's had said now, in every partition, that nothing else is on its way."""
    connection = await connect(database_url, role="moderation_api", search_path="moderation, public")
    try:
        await connection.execute(
            "insert into consumer_watermarks (consumer, topic, partition, source, position, store_time, reached_at)"
            " select consumer, topic, partition, 'scheduling/here/1', 0, now() + interval '1 hour', now()"
            " from consumer_checkpoints where consumer = 'moderation.lanes' on conflict do nothing"
        )
    finally:
        await connection.close()


@pytest.mark.rule("PL8")
async def test_while_nothing_is_known_of_enrolment_nobody_is_called_unknown(
    servers: Servers, database_url: str, credentials: Path, tmp_path: Path
) -> None:
    alone = ServiceProcess("moderation", servers, database_url, credentials, tmp_path, roles=["api"]).start()
    try:
        async with alone.channel(*RIGHTS) as open_channel:
            stub = ModerationServiceStub(open_channel)
            asked = report(f"client-{secrets.token_hex(4)}", "nobody")
            assert await refused(stub.ReportClient(asked)) == ("UNAVAILABLE", "GATE_STALE", "")
            assert (await standing_of(stub, "anybody")).state == STATE_GOOD
            waits = ListReportsRequest(at_least=(await brake(stub)).revision)
            assert await refused(stub.ListReports(waits, timeout=0.5)) == ("UNAVAILABLE", "NOT_YET_VISIBLE", "at_least")
    finally:
        assert alone.stop() == 0


async def brake(stub: Any) -> Any:
    return await stub.BrakeClient(BrakeClientRequest(**by_moderator("anybody"), policy_version=POLICY))
