"""Age verification as its callers meet it: one process of the service, called over gRPC."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from google.protobuf.message import Message

from holdspace.age_verification.v1.events_pb2 import (
    ASSURANCE_LEVEL_HIGH,
    ASSURANCE_LEVEL_SUBSTANTIAL,
    AgeAssuranceRevoked,
    AgeAssured,
    ClientFoundUnderAge,
    UnderAgeReversed,
)
from holdspace.age_verification.v1.service_pb2 import (
    AGE_STATE_ASSURED,
    AGE_STATE_EXPIRED,
    AGE_STATE_PENDING,
    AGE_STATE_REVOKED,
    AGE_STATE_UNDER_AGE,
    AGE_STATE_UNKNOWN,
    AGE_STATE_UNREADABLE,
    DeclareAgeRequest,
    GetAgeStatusRequest,
    GetAgeStatusResponse,
    RequestVerificationRequest,
    ReverseUnderAgeRequest,
    RevokeAssuranceRequest,
    SubmitProviderTokenRequest,
)
from holdspace.age_verification.v1.service_pb2_grpc import AgeVerificationServiceStub
from infra.local import keys
from infra.local.servers import Servers
from kernel.facts import open_envelope
from tests.calls import answered, count_facts, fresh, refused
from tests.running import ServiceProcess

RIGHTS = tuple(f"age_verification.{name}" for name in ("verify", "revoke", "reverse", "read"))

OVERRULED = ("FAILED_PRECONDITION", "EVIDENCE_OVERRULED", "token")

Token = Callable[..., str]


@pytest.fixture(scope="module")
def service(
    servers: Servers, module_database_url: str, credentials: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServiceProcess]:
    folder = tmp_path_factory.mktemp("age_verification")
    process = ServiceProcess("age_verification", servers, module_database_url, credentials, folder)
    yield process.start()
    assert process.stop() == 0, process.log.read_text()[-2000:]


@pytest.fixture
async def stub(service: ServiceProcess) -> AsyncIterator[Any]:
    async with service.channel(*RIGHTS) as open_channel:
        yield AgeVerificationServiceStub(open_channel)


@pytest.fixture
def client() -> str:
    return f"client-{fresh()}"


@pytest.fixture
def token(credentials: Path, client: str) -> Token:
    """What the provider says about the client, over 18 by default."""
    return lambda **more: keys.mint_age_token(credentials, **{"client_id": client, "over_18": True, **more})


def submit(client: str, token: str, request_id: str = "") -> SubmitProviderTokenRequest:
    return SubmitProviderTokenRequest(request_id=request_id or fresh(), client_id=client, token=token)


async def status(stub: Any, client: str, revision: str = "") -> GetAgeStatusResponse:
    told: GetAgeStatusResponse = await stub.GetAgeStatus(GetAgeStatusRequest(client_id=client, at_least=revision))
    return told


async def published(database_url: str, client: str) -> list[str]:
    connection = await asyncpg.connect(database_url, server_settings={"role": "age_verification_api"})
    try:
        rows = await connection.fetch(
            "select fact from age_verification.facts_of($1) order by version", f"client-{client}"
        )
    finally:
        await connection.close()
    return [open_envelope(row[0]).type.rpartition(".")[2] for row in rows]


@pytest.mark.rule("AV2", "AV3")
async def test_a_client_goes_from_unknown_to_assured_by_what_the_provider_signed(
    stub: Any, client: str, token: Token, module_database_url: str
) -> None:
    unknown = await status(stub, client)
    assert (unknown.state, unknown.attempts_left) == (AGE_STATE_UNKNOWN, 3)
    asked = await stub.RequestVerification(RequestVerificationRequest(request_id=fresh(), client_id=client))
    assert (await status(stub, client, asked.revision)).state == AGE_STATE_PENDING

    taken = await stub.SubmitProviderToken(submit(client, token(method="photo-id", assurance_level="HIGH")))
    told = await status(stub, client, taken.revision)
    assert taken.result == told.state == AGE_STATE_ASSURED
    assert taken.expires_at == told.expires_at
    assert (told.method, told.assurance_level) == ("photo-id", ASSURANCE_LEVEL_HIGH)
    assert await published(module_database_url, client) == ["VerificationRequested", "AgeAssured"]


@pytest.mark.rule("AV2.c")
async def test_a_replayed_receipt_is_refused_for_the_same_client_and_for_another(
    stub: Any, client: str, token: Token, credentials: Path, module_database_url: str
) -> None:
    evidence, other = token(receipt="once-" + client), f"{client}-2"
    await stub.SubmitProviderToken(submit(client, evidence))
    before = await count_facts(module_database_url, "age_verification")
    same_receipt = keys.mint_age_token(credentials, client_id=other, over_18=True, receipt="once-" + client)
    for asked in (submit(client, evidence), submit(other, same_receipt)):
        assert await refused(stub.SubmitProviderToken(asked)) == ("ALREADY_EXISTS", "RECEIPT_USED", "")
    assert await count_facts(module_database_url, "age_verification") == before
    assert (await status(stub, other)).state == AGE_STATE_UNKNOWN


@pytest.mark.rule("AV2.c")
async def test_of_fifty_clients_who_hand_in_one_receipt_at_once_one_is_assured(stub: Any, credentials: Path) -> None:
    receipt = fresh()
    clients = [f"client-{fresh()}" for _ in range(50)]
    asked = [
        submit(name, keys.mint_age_token(credentials, client_id=name, over_18=True, receipt=receipt))
        for name in clients
    ]
    answers = await asyncio.gather(*(answered(stub.SubmitProviderToken(one)) for one in asked))
    assured = [name for name, answer in zip(clients, answers, strict=True) if not isinstance(answer, tuple)]
    losers = [answer for answer in answers if isinstance(answer, tuple)]
    assert losers == [("ALREADY_EXISTS", "RECEIPT_USED", "")] * 49
    for name in clients:
        state = (await status(stub, name)).state
        assert state == (AGE_STATE_ASSURED if name in assured else AGE_STATE_UNKNOWN)


@pytest.mark.rule("PL4")
async def test_a_submission_repeated_with_its_request_id_gets_its_first_answer_even_when_the_token_ran_out(
    stub: Any, client: str, token: Token
) -> None:
    asked = submit(client, token(lifetime_seconds=2))
    first = await stub.SubmitProviderToken(asked)
    await asyncio.sleep(2.1)
    assert await stub.SubmitProviderToken(asked) == first
    asked.token = token()
    assert await refused(stub.SubmitProviderToken(asked)) == ("INVALID_ARGUMENT", "REQUEST_REUSED", "request_id")


@pytest.mark.rule("AV3")
async def test_unreadable_evidence_may_be_retried_a_bounded_number_of_times(
    stub: Any, client: str, token: Token
) -> None:
    for left in (2, 1, 0):
        taken = await stub.SubmitProviderToken(submit(client, token(readable=False)))
        told = await status(stub, client, taken.revision)
        assert (taken.result, told.state, told.attempts_left) == (AGE_STATE_UNREADABLE, AGE_STATE_UNREADABLE, left)
    exhausted = ("FAILED_PRECONDITION", "ATTEMPTS_EXHAUSTED", "")
    assert await refused(stub.SubmitProviderToken(submit(client, token(readable=False)))) == exhausted
    assert await refused(stub.SubmitProviderToken(submit(client, token()))) == exhausted
    asked = RequestVerificationRequest(request_id=fresh(), client_id=client)
    assert await refused(stub.RequestVerification(asked)) == exhausted


@pytest.mark.rule("AV3")
async def test_under_age_is_final_until_an_operator_reverses_it(
    stub: Any, client: str, token: Token, module_database_url: str
) -> None:
    taken = await stub.SubmitProviderToken(submit(client, token(over_18=False)))
    assert (await status(stub, client, taken.revision)).state == taken.result == AGE_STATE_UNDER_AGE
    under_age = ("FAILED_PRECONDITION", "CLIENT_UNDER_AGE", "client_id")
    assert await refused(stub.SubmitProviderToken(submit(client, token()))) == under_age
    asked = RequestVerificationRequest(request_id=fresh(), client_id=client)
    assert await refused(stub.RequestVerification(asked)) == under_age

    reverse = ReverseUnderAgeRequest(request_id=fresh(), operator_id="operator", client_id=client)
    before = [token(), token(over_18=False), token(readable=False)]
    reversed_ = await stub.ReverseUnderAge(reverse)
    for old in before:
        assert await refused(stub.SubmitProviderToken(submit(client, old))) == OVERRULED
    assert (await status(stub, client, reversed_.revision)).state == AGE_STATE_UNKNOWN
    await asyncio.sleep(1)  # Tokens are issued in whole seconds.
    assert (await stub.SubmitProviderToken(submit(client, token()))).result == AGE_STATE_ASSURED
    names = [fact.DESCRIPTOR.name for fact in (ClientFoundUnderAge, UnderAgeReversed, AgeAssured)]
    assert await published(module_database_url, client) == names


@pytest.mark.rule("AV3")
async def test_an_assurance_ends_by_its_own_time_or_by_an_operator(
    stub: Any, client: str, token: Token, module_database_url: str
) -> None:
    taken = await stub.SubmitProviderToken(submit(client, token(result_lifetime_seconds=2)))
    assert (await status(stub, client, taken.revision)).state == AGE_STATE_ASSURED
    await asyncio.sleep(2.1)
    over = await status(stub, client)
    assert (over.state, over.expires_at) == (AGE_STATE_EXPIRED, taken.expires_at)

    revoke = RevokeAssuranceRequest(request_id=fresh(), operator_id="operator", client_id=client)
    assert await refused(stub.RevokeAssurance(revoke)) == ("FAILED_PRECONDITION", "NOT_ASSURED", "client_id")
    await stub.SubmitProviderToken(submit(client, token()))
    before = token()
    revoked = await stub.RevokeAssurance(revoke)
    assert await refused(stub.SubmitProviderToken(submit(client, before))) == OVERRULED
    told = await status(stub, client, revoked.revision)
    assert (told.state, told.assurance_level) == (AGE_STATE_REVOKED, ASSURANCE_LEVEL_SUBSTANTIAL)
    assert not told.HasField("expires_at")
    assert (await published(module_database_url, client))[-1] == AgeAssuranceRevoked.DESCRIPTOR.name


@pytest.mark.rule("AV3")
async def test_of_two_results_the_one_that_holds_longer_is_told_whichever_came_last(
    stub: Any, client: str, token: Token
) -> None:
    long = await stub.SubmitProviderToken(submit(client, token(method="long")))
    short = await stub.SubmitProviderToken(
        submit(client, token(method="short", assurance_level="HIGH", result_lifetime_seconds=60))
    )
    assert short.expires_at == long.expires_at
    told = await status(stub, client, short.revision)
    assert (told.expires_at, told.method, told.assurance_level) == (
        long.expires_at,
        "long",
        ASSURANCE_LEVEL_SUBSTANTIAL,
    )
    longer = token(method="longer", assurance_level="HIGH", result_lifetime_seconds=2 * 365 * 86_400)
    told = await status(stub, client, (await stub.SubmitProviderToken(submit(client, longer))).revision)
    assert (told.method, told.assurance_level) == ("longer", ASSURANCE_LEVEL_HIGH)
    assert told.expires_at.seconds > long.expires_at.seconds


@pytest.mark.rule("AV1")
async def test_a_declaration_is_recorded_and_changes_no_state(stub: Any, client: str, module_database_url: str) -> None:
    declared = await stub.DeclareAge(DeclareAgeRequest(request_id=fresh(), client_id=client, over_18=True))
    assert (await status(stub, client, declared.revision)).state == AGE_STATE_UNKNOWN
    assert await published(module_database_url, client) == ["AgeSelfDeclared"]


INVALID, FAILED, WRONG = "INVALID_ARGUMENT", "FAILED_PRECONDITION", "INVALID_ARGUMENT PROVIDER_TOKEN_INVALID token"
BAD: dict[str, tuple[Callable[[str, Token], Message], str]] = {
    "no token": (lambda c, _: submit(c, ""), f"{INVALID} FIELD_MISSING token"),
    "a token too large": (lambda c, _: submit(c, "x" * 16_385), f"{INVALID} FIELD_TOO_LARGE token"),
    "garbage": (lambda c, _: submit(c, "x.y.z"), WRONG),
    "no signature": (lambda c, token: submit(c, token().rpartition(".")[0] + "."), WRONG),
    "a token about another": (lambda c, token: submit(c, token(client_id="another")), WRONG),
    "a token that ran out": (lambda c, token: submit(c, token(lifetime_seconds=-60)), WRONG),
    "an old result": (lambda c, token: submit(c, token(result_lifetime_seconds=-1)), f"{FAILED} RESULT_EXPIRED token"),
    "a low level": (lambda c, token: submit(c, token(assurance_level="LOW")), f"{FAILED} ASSURANCE_TOO_LOW token"),
    "a malformed client": (lambda _, token: submit("c\0", token()), f"{INVALID} FIELD_MALFORMED client_id"),
    "no request id": (
        lambda c, token: SubmitProviderTokenRequest(client_id=c, token=token()), f"{INVALID} FIELD_MISSING request_id"
    ),
}  # fmt: skip


@pytest.mark.rule("AV1")
@pytest.mark.parametrize("bad", BAD)
async def test_bad_evidence_is_refused_and_leaves_nothing(
    stub: Any, client: str, token: Token, module_database_url: str, bad: str
) -> None:
    make, told = BAD[bad]
    before = await count_facts(module_database_url, "age_verification")
    assert " ".join(await refused(stub.SubmitProviderToken(make(client, token)))) == told
    assert await count_facts(module_database_url, "age_verification") == before
    assert (await status(stub, client)).state == AGE_STATE_UNKNOWN


@pytest.mark.rule("AV2", "AV3")
async def test_what_was_refused_for_its_level_uses_up_neither_receipt_nor_attempt(
    stub: Any, client: str, token: Token
) -> None:
    low = token(assurance_level="LOW", receipt=fresh())
    for _ in range(5):
        told = await refused(stub.SubmitProviderToken(submit(client, low)))
        assert told == ("FAILED_PRECONDITION", "ASSURANCE_TOO_LOW", "token")
    assert (await stub.SubmitProviderToken(submit(client, token()))).result == AGE_STATE_ASSURED


@pytest.mark.rule("PL5")
async def test_clients_verify_themselves_alone_and_reverse_nothing(
    service: ServiceProcess, client: str, token: Token
) -> None:
    async with service.channel("age_verification.verify", subject=client, kind="person") as theirs:
        own = AgeVerificationServiceStub(theirs)
        await own.SubmitProviderToken(submit(client, token(over_18=False)))
        about_another = submit("another", token(client_id="another"))
        assert await refused(own.SubmitProviderToken(about_another)) == (
            "PERMISSION_DENIED",
            "PERSON_NOT_YOURS",
            "client_id",
        )
        reverse = ReverseUnderAgeRequest(request_id=fresh(), operator_id=client, client_id=client)
        assert await refused(own.ReverseUnderAge(reverse)) == ("PERMISSION_DENIED", "RIGHT_MISSING", "")


@pytest.mark.rule("AV2")
async def test_neither_token_nor_receipt_is_kept_anywhere(
    service: ServiceProcess, stub: Any, client: str, token: Token, module_database_url: str
) -> None:
    receipt = "canary" + fresh()
    evidence = token(receipt=receipt)
    await stub.SubmitProviderToken(submit(client, evidence))
    await refused(stub.SubmitProviderToken(submit(client, evidence)))
    connection = await asyncpg.connect(module_database_url, server_settings={"role": "age_verification_api"})
    try:
        rows = await connection.fetch("select fact from age_verification.facts")
        names = await connection.fetch("select name from age_verification.claimed_names")
    finally:
        await connection.close()
    kept = b"".join(row[0] for row in rows) + "".join(row[0] for row in names).encode()
    kept += await asyncio.to_thread(service.log.read_bytes)
    assert receipt.encode() not in kept
    assert evidence.rpartition(".")[2].encode() not in kept
