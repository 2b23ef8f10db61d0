"""Every method of every service against every right, and against acting for somebody else."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from holdspace.kernel.v1.options_pb2 import access
from infra.callers import GRPC_SERVICES, every_right
from kernel.grpc.access import ACT_FOR
from kernel.grpc.client import channel, reason_of
from tests.e2e.platform import Platform
from tests.e2e.requests import well_formed

METHODS = [
    pytest.param(service, method, id=f"{service}.{method.name}")
    for service, full_name in GRPC_SERVICES.items()
    for method in descriptor_pool.Default().FindServiceByName(full_name).methods
]
EVERY_RIGHT = every_right()


def declared(method: MethodDescriptor) -> Any:
    return method.GetOptions().Extensions[access]


def request_of(method: MethodDescriptor, person: str = "somebody") -> Message:
    acts_for = declared(method).acts_for
    return well_formed(method.input_type, person=person, persons=frozenset(acts_for.split(".")[-1:]) - {""})


async def answer(open_channel: grpc.aio.Channel, method: MethodDescriptor, **more: Any) -> tuple[str, str]:
    """Calls the method in whatever shape it has. Returns status and reason, or OK."""
    path = f"/{method.containing_service.full_name}/{method.name}"
    request = request_of(method)
    encode, decode = (lambda message: message.SerializeToString()), GetMessageClass(method.output_type).FromString

    async def stream() -> AsyncIterator[Message]:
        yield request

    try:
        if method.client_streaming:
            call = open_channel.stream_stream(path, request_serializer=encode, response_deserializer=decode)
            responses = [response async for response in call(stream(), **more)]
            error = responses[0].results[0].error
            return grpc_name(error.code), error.reason
        await open_channel.unary_unary(path, request_serializer=encode, response_deserializer=decode)(request, **more)
    except grpc.aio.AioRpcError as refused:
        return refused.code().name, reason_of(refused)[0]
    return "OK", ""


def grpc_name(code: int) -> str:
    return next(status.name for status in grpc.StatusCode if status.value[0] == code)


@pytest.mark.rule("PL5.a")
@pytest.mark.parametrize(("service", "method"), METHODS)
async def test_a_method_is_refused_without_a_token_and_with_every_right_but_its_own(
    platform: Platform, service: str, method: MethodDescriptor
) -> None:
    process = platform.processes[service]
    before = await platform.calls_taken(service)
    async with channel(process.target, "") as nobody:
        assert await answer(nobody, method, metadata=()) == ("UNAUTHENTICATED", "TOKEN_MISSING")
    others = [right for right in EVERY_RIGHT if right != declared(method).right]
    async with process.channel(*others) as lacking:
        assert await answer(lacking, method) == ("PERMISSION_DENIED", "RIGHT_MISSING")
    assert await platform.calls_taken(service) == before


@pytest.mark.rule("PL5")
async def test_a_refused_stream_tells_why_even_to_those_who_write_at_once(platform: Platform) -> None:
    (stream,) = [param.values[1] for param in METHODS if param.values[1].client_streaming]  # type: ignore[attr-defined]
    for _ in range(200):
        async with channel(platform.processes["messaging"].target, "") as nobody:
            assert await answer(nobody, stream, metadata=()) == ("UNAUTHENTICATED", "TOKEN_MISSING")


ACTING = [param for param in METHODS if declared(param.values[1]).acts_for]  # type: ignore[arg-type]


@pytest.mark.rule("PL5")
@pytest.mark.parametrize(("service", "method"), ACTING)
async def test_nobody_acts_for_another_person_without_the_right_to(
    platform: Platform, service: str, method: MethodDescriptor
) -> None:
    assert ACT_FOR not in EVERY_RIGHT
    process = platform.processes[service]
    before = await platform.calls_taken(service)
    async with process.channel(*EVERY_RIGHT, subject="another", kind="person") as other_person:
        assert await answer(other_person, method) == ("PERMISSION_DENIED", "PERSON_NOT_YOURS")
    async with process.channel_without_act_for(*EVERY_RIGHT) as service_alone:
        assert await answer(service_alone, method) == ("PERMISSION_DENIED", "PERSON_NOT_YOURS")
    assert await platform.calls_taken(service) == before


@pytest.mark.rule("PL4")
@pytest.mark.parametrize(("service", "method"), METHODS)
async def test_every_call_needs_a_deadline(platform: Platform, service: str, method: MethodDescriptor) -> None:
    async with platform.processes[service].channel(*EVERY_RIGHT) as open_channel:
        assert await answer(open_channel, method, timeout=None) == ("INVALID_ARGUMENT", "DEADLINE_MISSING")


MUTATING = [param for param in METHODS if "request_id" in param.values[1].input_type.fields_by_name]  # type: ignore[attr-defined]


@pytest.mark.rule("PL4")
@pytest.mark.parametrize(("service", "method"), MUTATING)
async def test_every_mutation_needs_a_request_id(platform: Platform, service: str, method: MethodDescriptor) -> None:
    path = f"/{method.containing_service.full_name}/{method.name}"
    request = request_of(method)
    request.ClearField("request_id")
    async with platform.processes[service].channel(*EVERY_RIGHT) as open_channel:
        call = open_channel.unary_unary(path, request_serializer=lambda message: message.SerializeToString())
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(request)
    assert (caught.value.code().name, *reason_of(caught.value)) == ("INVALID_ARGUMENT", "FIELD_MISSING", "request_id")
