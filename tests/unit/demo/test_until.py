"""What the demo and the tests wait with: it repeats one request, and swallows nothing that time does not end."""

import grpc
import pytest
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from infra.demo.world import PASSING, Ask, until
from kernel.grpc.interceptor import STATUS_DETAILS
from tests.e2e.platform import eventually
from tests.faults.checks.answers import declared_reasons


def error(code: grpc.StatusCode, reason: str = "") -> grpc.aio.AioRpcError:
    status = Status()
    if reason:
        status.details.add().Pack(ErrorInfo(reason=reason))
    details = ((STATUS_DETAILS, status.SerializeToString()),)
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(*details))


class Service:
    """Answers with these errors, one after the other, and then with "done"."""

    def __init__(self, *errors: grpc.aio.AioRpcError) -> None:
        self.errors = list(errors)
        self.asked: list[str] = []

    async def call(self, request: str) -> str:
        self.asked.append(request)
        if self.errors:
            raise self.errors.pop(0)
        return "done"


STALE = error(grpc.StatusCode.UNAVAILABLE, "GATE_STALE")
INTERNAL = error(grpc.StatusCode.INTERNAL, "INTERNAL")


async def test_what_time_ends_is_repeated_with_the_same_request() -> None:
    service = Service(STALE, error(grpc.StatusCode.NOT_FOUND, "THERAPIST_UNKNOWN"))
    assert await until(Ask(service.call, "request-1")) == "done"
    assert service.asked == ["request-1"] * 3


@pytest.mark.parametrize(
    "wrong",
    [
        INTERNAL,
        error(grpc.StatusCode.UNKNOWN),
        error(grpc.StatusCode.CANCELLED),
        error(grpc.StatusCode.UNAVAILABLE),
        error(grpc.StatusCode.FAILED_PRECONDITION, "SENDER_SUSPENDED"),
    ],
)
async def test_any_other_error_is_raised_at_once(wrong: grpc.aio.AioRpcError) -> None:
    service = Service(STALE, wrong, STALE)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await until(Ask(service.call, "request-1"))
    assert caught.value is wrong
    assert len(service.asked) == 2


async def test_a_caller_names_what_else_passes() -> None:
    service = Service(error(grpc.StatusCode.FAILED_PRECONDITION, "SLOT_TAKEN"))
    assert await until(Ask(service.call, "request-1"), also=["SLOT_TAKEN"]) == "done"


async def test_patience_ends_with_the_last_refusal() -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await until(Ask(Service(*[STALE] * 1000).call, "request-1"), 0)
    assert caught.value is STALE


async def test_eventually_does_not_swallow_an_internal_error() -> None:
    service = Service(STALE, INTERNAL)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await eventually(lambda: service.call("question"))
    assert caught.value is INTERNAL


def test_every_passing_reason_is_declared() -> None:
    declared = {reason for service in ("messaging", "moderation", "scheduling") for reason in declared_reasons(service)}
    assert declared >= PASSING
