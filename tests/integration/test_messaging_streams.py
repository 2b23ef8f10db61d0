"""How SendStream ends: by the caller, by silence, by age. What was sent is answered whichever it is."""

import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from holdspace.messaging.v1.service_pb2 import SendStreamRequest
from holdspace.messaging.v1.service_pb2_grpc import MessagingServiceStub
from infra.local.servers import Servers
from tests.integration.test_messaging import RIGHTS, message
from tests.running import ServiceProcess

NEVER = "3600"
PAIR = (f"client-{secrets.token_hex(4)}", f"therapist-{secrets.token_hex(4)}")


@pytest.fixture
async def stub(
    request: pytest.FixtureRequest, servers: Servers, database_url: str, credentials: Path, tmp_path: Path
) -> AsyncIterator[Any]:
    """Calls a service whose streams have the limits that the test names."""
    limits = {f"HOLDSPACE_STREAM_{name.upper()}_SECONDS": value for name, value in request.param.items()}
    process = ServiceProcess("messaging", servers, database_url, credentials, tmp_path, roles=("api",), more=limits)
    try:
        async with process.start().channel(*RIGHTS) as opened:
            yield MessagingServiceStub(opened)
    finally:
        process.stop()


async def answered(stream: Any, request_id: str) -> None:
    """Whatever the answer is: nobody here is known to the gates, and so the message is refused."""
    assert [result.request_id for result in (await stream.read()).results] == [request_id]


@pytest.mark.parametrize("stub", [{"idle": "0.5", "age": NEVER}], indirect=True)
async def test_a_stream_in_which_nobody_writes_is_ended_as_its_caller_would(stub: Any) -> None:
    stream = stub.SendStream(timeout=60)
    asked = message(PAIR)
    await stream.write(SendStreamRequest(message=asked))
    await answered(stream, asked.request_id)
    assert await stream.read() is grpc.aio.EOF
    assert await stream.code() is grpc.StatusCode.OK


@pytest.mark.parametrize("stub", [{"idle": NEVER, "age": "3"}], indirect=True)
async def test_a_stream_is_ended_by_its_age_with_all_it_took_answered(stub: Any) -> None:
    # Nothing is written about the end: a grpc.aio client whose write meets it reports INTERNAL in place of OK.
    stream = stub.SendStream(timeout=60)
    for asked in [message(PAIR) for _ in range(20)]:
        await stream.write(SendStreamRequest(message=asked))
        await answered(stream, asked.request_id)
    assert await stream.read() is grpc.aio.EOF
    assert await stream.code() is grpc.StatusCode.OK
