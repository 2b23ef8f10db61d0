"""What moderation refuses: with which status, reason and field, and that nothing was appended."""

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import Message

from holdspace.moderation.v1.events_pb2 import (
    FINDING_UPHELD,
    REINSTATEMENT_LIFTED,
    SEVERITY_DANGER,
)
from holdspace.moderation.v1.service_pb2 import (
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
from infra.local.servers import Servers
from kernel.grpc.client import channel
from kernel.store.connections import connect
from tests.calls import count_facts, fresh, refused
from tests.integration import moderation_world
from tests.integration.moderation_world import (
    POLICY,
    RIGHTS,
    by_moderator,
    in_seconds,
    report,
    standing_of,
    until,
)
from tests.running import ServiceProcess

moderation, stub, elsewhere = moderation_world.moderation, moderation_world.stub, moderation_world.elsewhere
therapists, client = moderation_world.therapists, moderation_world.client


async def test_a_page_token_fits_only_its_own_list(stub: Any, client: str, therapists: list[str]) -> None:
    told = [await stub.ReportClient(report(client, therapist)) for therapist in therapists[:2]]
    asked = ListReportsRequest(client_id=client, page_size=1, at_least=told[1].revision)
    asked.page_token = (await stub.ListReports(asked)).next_page_token
    asked.undecided = True
    assert await refused(stub.ListReports(asked)) == ("INVALID_ARGUMENT", "PAGE_TOKEN_INVALID", "page_token")
    asked.page_token = "forged"
    assert await refused(stub.ListReports(asked)) == ("INVALID_ARGUMENT", "PAGE_TOKEN_INVALID", "page_token")


BAD_REPORTS = {
    "no request id": ({"request_id": ""}, "FIELD_MISSING", "request_id"),
    "a malformed request id": ({"request_id": "a b"}, "FIELD_MALFORMED", "request_id"),
    "no client": ({"client_id": ""}, "FIELD_MISSING", "client_id"),
    "an over-long client": ({"client_id": "c" * 65}, "FIELD_MALFORMED", "client_id"),
    "a client with a NUL": ({"client_id": "c\0"}, "FIELD_MALFORMED", "client_id"),
    "no severity": ({"severity": 0}, "FIELD_MISSING", "severity"),
    "a malformed conversation": ({"conversation_id": "a b"}, "FIELD_MALFORMED", "conversation_id"),
    "a message of no conversation": ({"last_message_sequence": 3}, "FIELD_MISSING", "conversation_id"),
    "a message beyond counting": (
        {"conversation_id": "c1", "last_message_sequence": 2**63},
        "FIELD_MALFORMED",
        "last_message_sequence",
    ),
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


@pytest.mark.rule("MO3.d")
async def test_a_reporter_who_moderates_neither_confirms_nor_bans_on_their_own_report(
    stub: Any, client: str, therapists: list[str], module_database_url: str
) -> None:
    told = await stub.ReportClient(report(client, therapists[0], SEVERITY_DANGER))
    assert told.client_state == STATE_SUSPENDED
    before = await count_facts(module_database_url, "moderation")
    by = {"client_id": client, "moderator_id": therapists[0]}
    for call in (
        stub.ConfirmSuspension(ConfirmSuspensionRequest(request_id=fresh(), **by)),
        stub.BanClient(BanClientRequest(request_id=fresh(), **by)),
    ):
        assert await refused(call) == ("PERMISSION_DENIED", "MODERATOR_INVOLVED", "moderator_id")
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
