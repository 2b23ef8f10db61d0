"""What happens to calls, told over a real connection."""

import asyncio
from datetime import timedelta
from pathlib import Path

import grpc
import jwt
import pytest
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from kernel.errors import DeadlinePassed, Overloaded, Rejected, StoreUnavailable, VersionConflict
from kernel.facts import Origin
from kernel.grpc.client import reason_of
from tests.unit.kernel.diary import NOW, Issuer, Serving, diary_pb2, diary_pb2_grpc, refused, serving, write

Code = grpc.StatusCode
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


async def call_with(it: Serving, *metadata: tuple[str, str], timeout: float | None = 5) -> str:
    async with grpc.aio.insecure_channel(it.target) as plain:
        stub = diary_pb2_grpc.DiaryServiceStub(plain)
        return str((await stub.Write(write(), timeout=timeout, metadata=metadata)).text)


async def test_a_handler_knows_who_calls_for_whom_and_until_when(tmp_path: Path) -> None:
    async with serving(tmp_path) as it, it.calling() as stub:
        await stub.Write(write(request_id="r7"), timeout=3)
        call = it.diary.calls[0]
        assert (call.caller.subject, call.caller.kind, call.person) == ("web", "service", "ann")
        assert (call.service, call.method, call.request_id) == ("holdspace.diary.v1.DiaryService", "Write", "r7")
        assert 0 < call.deadline - asyncio.get_running_loop().time() < 4
        assert call.origin == Origin("web", "ann", "r7", call.correlation, call.traceparent)


async def test_the_callers_trace_goes_on_with_a_span_of_the_calls_own(tmp_path: Path) -> None:
    async with serving(tmp_path) as it:
        token = it.issuer.token(scope="diary.write act_for")
        for came in (TRACE, "00-" + "0" * 32 + "-00f067aa0ba902b7-01", "nonsense"):
            await call_with(it, ("authorization", f"Bearer {token}"), ("traceparent", came))
        first, second, third = (call.traceparent for call in it.diary.calls)
        assert first[:36] == TRACE[:36]
        assert first != TRACE
        assert "0" * 32 not in second
        assert second[3:35] != third[3:35]


async def test_a_person_acts_for_themselves_and_nobody_else(tmp_path: Path) -> None:
    async with serving(tmp_path) as it, it.calling(it.issuer.token("ann", "diary.write", "person")) as stub:
        await stub.Write(write())
        assert it.diary.calls[0].origin.service == ""
        async with refused() as refusal:
            await stub.Write(write(author_id="bob"))
        assert (refusal.status, refusal.reason, refusal.field) == (
            Code.PERMISSION_DENIED,
            "PERSON_NOT_YOURS",
            "author_id",
        )


async def test_a_service_acts_for_a_person_only_with_the_right_to(tmp_path: Path) -> None:
    async with serving(tmp_path) as it, it.calling(scope="diary.write") as stub:
        async with refused() as refusal:
            await stub.Write(write())
        assert (refusal.status, refusal.reason) == (Code.PERMISSION_DENIED, "PERSON_NOT_YOURS")


async def test_every_part_of_a_request_acts_for_a_person_of_the_callers(tmp_path: Path) -> None:
    def entry(author: str) -> object:
        at = diary_pb2.Entry(author_id=author, mood="MOOD_CALM", number=1, weight=0)
        at.at.FromDatetime(NOW)
        return at

    async with serving(tmp_path) as it:
        async with it.calling(it.issuer.token("ann", "diary.write", "person")) as stub:
            async with refused() as refusal:
                await stub.WriteMany(diary_pb2.WriteManyRequest(request_id="r1", entries=[entry("ann"), entry("bob")]))
            assert (refusal.reason, refusal.field) == ("PERSON_NOT_YOURS", "entries[1].author_id")
            await stub.WriteMany(diary_pb2.WriteManyRequest(request_id="r1", entries=[entry("ann"), entry("ann")]))
            assert it.diary.calls[-1].person == "ann"
        async with it.calling() as stub:
            several = [entry("ann"), entry("bob"), entry("bob")]
            await stub.WriteMany(diary_pb2.WriteManyRequest(request_id="r1", entries=several))
            assert it.diary.calls[-1].person == ""


async def test_a_token_without_the_right_is_refused(tmp_path: Path) -> None:
    async with serving(tmp_path) as it, it.calling(scope="diary.read act_for") as stub:
        async with refused() as refusal:
            await stub.Write(write())
        assert (refusal.status, refusal.reason, refusal.field) == (Code.PERMISSION_DENIED, "RIGHT_MISSING", "")


async def test_a_call_without_a_token_is_refused(tmp_path: Path) -> None:
    async with serving(tmp_path) as it:
        async with refused() as refusal:
            await call_with(it)
        assert (refusal.status, refusal.reason) == (Code.UNAUTHENTICATED, "TOKEN_MISSING")


async def test_a_token_that_cannot_be_trusted_is_refused(tmp_path: Path) -> None:
    async with serving(tmp_path) as it:
        mine, claims = it.issuer, {"sub": "web", "iss": "https://issuer.example", "aud": "holdspace", "kind": "service"}
        times = {"iat": NOW.timestamp(), "exp": NOW.timestamp() + 60}
        unsigned = jwt.encode(claims | times, None, algorithm="none", headers={"kid": "k1"})
        shared = jwt.encode(claims | times, "s" * 64, algorithm="HS256", headers={"kid": "k1"})
        bad = {
            "audience": mine.token(aud="elsewhere"),
            "issuer": mine.token(iss="https://else.example"),
            "expired": mine.token(exp=NOW.timestamp() - 10),
            "from the future": mine.token(iat=NOW.timestamp() + 60),
            "not yet valid": mine.token(nbf=NOW.timestamp() + 60),
            "no exp": mine.token(exp=None),
            "no iat": mine.token(iat=None),
            "no sub": mine.token(sub=None),
            "endless": mine.token(exp=float("inf")),
            "a subject that is no id": mine.token("ann of kent"),
            "another kind": mine.token(kind="robot"),
            "scope as a list": mine.token(scope=["diary.write"]),
            "crit": mine.token(headers={"crit": ["b64"], "b64": True}),
            "jku": mine.token(headers={"jku": "https://else.example/jwks"}),
            "x5u": mine.token(headers={"x5u": "https://else.example/x5u"}),
            "unknown key": Issuer("k2").token(),
            "another's key by the same id": Issuer("k1").token(),
            "none": unsigned,
            "a shared secret": shared,
            "no token": "nonsense",
            "too long": "x" * 5_000,
        }
        told = {
            "expired": "TOKEN_EXPIRED",
            "from the future": "TOKEN_NOT_YET_VALID",
            "not yet valid": "TOKEN_NOT_YET_VALID",
            "too long": "TOKEN_TOO_LARGE",
        }
        for what, token in bad.items():
            async with refused() as refusal:
                await call_with(it, ("authorization", f"Bearer {token}"))
            assert (refusal.status, refusal.reason) == (Code.UNAUTHENTICATED, told.get(what, "TOKEN_INVALID")), what
        assert not it.diary.calls


async def test_a_call_without_a_deadline_is_refused(tmp_path: Path) -> None:
    async with serving(tmp_path) as it:
        async with refused() as refusal:
            await call_with(it, ("authorization", f"Bearer {it.issuer.token(scope='diary.write')}"), timeout=None)
        assert (refusal.status, refusal.reason) == (Code.INVALID_ARGUMENT, "DEADLINE_MISSING")


async def test_right_then_form_then_person_is_the_order_of_checks(tmp_path: Path) -> None:
    wrong_everywhere = write(author_id="no id!", request_id="")
    async with serving(tmp_path) as it:
        for scope, reason in (("", "RIGHT_MISSING"), ("diary.write", "FIELD_MISSING")):
            async with it.calling(it.issuer.token("ann", scope, "person")) as stub, refused() as refusal:
                await stub.Write(wrong_everywhere)
            assert refusal.reason == reason


@pytest.mark.parametrize(
    ("request_of", "reason", "field"),
    [
        (lambda: write(request_id=""), "FIELD_MISSING", "request_id"),
        (lambda: write(author_id="-ann"), "FIELD_MALFORMED", "author_id"),
        (lambda: write(text="é" * 51), "FIELD_TOO_LARGE", "text"),
    ],
)
async def test_a_malformed_request_names_its_field(tmp_path: Path, request_of: object, reason: str, field: str) -> None:
    async with serving(tmp_path) as it, it.calling() as stub:
        async with refused() as refusal:
            await stub.Write(request_of())  # type: ignore[operator]
        assert (refusal.status, refusal.reason, refusal.field) == (Code.INVALID_ARGUMENT, reason, field)
        violations = [
            (violation.field, violation.description)
            for detail in details(refusal.error, BadRequest)
            for violation in detail.field_violations
        ]
        assert violations == [(field, reason)]


async def test_bytes_that_are_no_request_are_malformed(tmp_path: Path) -> None:
    async with serving(tmp_path) as it, grpc.aio.insecure_channel(it.target) as plain:
        call = plain.unary_unary("/holdspace.diary.v1.DiaryService/Write")
        async with refused() as refusal:
            await call(
                b"\xff\xff", timeout=5, metadata=(("authorization", f"Bearer {it.issuer.token(scope='diary.write')}"),)
            )
        assert (refusal.status, refusal.reason) == (Code.INVALID_ARGUMENT, "FIELD_MALFORMED")


async def test_a_request_above_the_size_limit_never_reaches_a_handler(tmp_path: Path) -> None:
    async with serving(tmp_path, request_bytes_max=10_000) as it, it.calling() as stub:
        async with refused() as refusal:
            await stub.Write(write(text="x" * 20_000))
        assert refusal.status is Code.RESOURCE_EXHAUSTED
        assert not it.diary.calls


@pytest.mark.parametrize(
    ("raised", "status", "reason"),
    [
        (Rejected("DIARY_CLOSED"), Code.FAILED_PRECONDITION, "DIARY_CLOSED"),
        (Rejected("NOT_FOUND"), Code.NOT_FOUND, "NOT_FOUND"),
        (VersionConflict(), Code.ABORTED, "CONTENDED"),
        (StoreUnavailable(), Code.UNAVAILABLE, "STORE_UNAVAILABLE"),
        (Overloaded(), Code.RESOURCE_EXHAUSTED, "OVERLOADED"),
        (DeadlinePassed(), Code.DEADLINE_EXCEEDED, "DEADLINE_PASSED"),
        (Rejected("NEVER_DECLARED"), Code.INTERNAL, "INTERNAL"),
        (RuntimeError("a secret"), Code.INTERNAL, "INTERNAL"),
    ],
)
async def test_what_a_handler_raises_becomes_its_declared_status(
    tmp_path: Path, raised: Exception, status: grpc.StatusCode, reason: str
) -> None:
    async with serving(tmp_path) as it, it.calling() as stub:
        it.diary.raising = raised
        async with refused() as refusal:
            await stub.Write(write())
        assert (refusal.status, refusal.reason) == (status, reason)
        assert "secret" not in str(refusal.error)
        [info] = details(refusal.error, ErrorInfo)
        assert info.domain == "holdspace"
        assert info.metadata["service"] == "holdspace.diary.v1.DiaryService"
        assert info.metadata["trace_id"] == it.diary.calls[0].correlation
        labels = {
            "service": "holdspace.diary.v1.DiaryService",
            "method": "Write",
            "code": status.name,
            "reason": reason,
        }
        assert it.count("holdspace_grpc_calls_total", **labels) == 1


async def test_an_overloaded_service_says_when_to_come_back(tmp_path: Path) -> None:
    async with serving(tmp_path) as it, it.calling() as stub:
        for raised, seconds in ((Overloaded(), 1), (Rejected("OVERLOADED", retry_after=timedelta(seconds=7)), 7)):
            it.diary.raising = raised
            async with refused() as refusal:
                await stub.Write(write())
            [retry] = details(refusal.error, RetryInfo)
            assert retry.retry_delay.seconds == seconds


@pytest.mark.parametrize("status", [Code.DEADLINE_EXCEEDED, Code.CANCELLED])
async def test_a_call_nobody_waits_for_ends_and_is_counted_as_such(tmp_path: Path, status: grpc.StatusCode) -> None:
    async with serving(tmp_path) as it, it.calling() as stub:
        it.diary.takes_seconds = 30
        call = stub.Write(write(), timeout=0.3 if status is Code.DEADLINE_EXCEEDED else 20)
        await it.diary.called.wait()
        if status is Code.CANCELLED:
            call.cancel()
        assert await call.code() is status
        labels = {"service": "holdspace.diary.v1.DiaryService", "method": "Write", "code": status.name, "reason": ""}
        async with asyncio.timeout(5):
            while not it.count("holdspace_grpc_calls_total", **labels):  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.01)


async def test_an_answer_that_is_not_ours_has_no_reason() -> None:
    async with grpc.aio.insecure_channel("127.0.0.1:1") as plain:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await diary_pb2_grpc.DiaryServiceStub(plain).Write(write(), timeout=1)
        assert reason_of(caught.value) == ("", "")


def details(error: grpc.aio.AioRpcError, kind: type) -> list:  # type: ignore[type-arg]
    """Returns the details of that kind that came with an error."""
    status = Status.FromString(dict(error.trailing_metadata() or ())["grpc-status-details-bin"])  # type: ignore[arg-type]
    found = []
    for detail in status.details:
        message = kind()
        if detail.Unpack(message):
            found.append(message)
    return found
