"""The platform's five APIs as one caller sees them."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf import descriptor_pool

from holdspace.age_verification.v1.service_pb2_grpc import AgeVerificationServiceStub
from holdspace.kernel.v1.options_pb2 import access
from holdspace.messaging.v1.service_pb2_grpc import MessagingServiceStub
from holdspace.moderation.v1.service_pb2_grpc import ModerationServiceStub
from holdspace.response_sla.v1.service_pb2_grpc import ResponseSlaServiceStub
from holdspace.scheduling.v1.service_pb2_grpc import SchedulingServiceStub
from kernel.grpc.client import channel

GRPC_SERVICES = {
    "age_verification": "holdspace.age_verification.v1.AgeVerificationService",
    "messaging": "holdspace.messaging.v1.MessagingService",
    "moderation": "holdspace.moderation.v1.ModerationService",
    "response_sla": "holdspace.response_sla.v1.ResponseSlaService",
    "scheduling": "holdspace.scheduling.v1.SchedulingService",
}
STUBS: Mapping[str, Callable[[grpc.aio.Channel], Any]] = {
    "age_verification": AgeVerificationServiceStub,
    "messaging": MessagingServiceStub,
    "moderation": ModerationServiceStub,
    "response_sla": ResponseSlaServiceStub,
    "scheduling": SchedulingServiceStub,
}


@dataclass(frozen=True, slots=True)
class Callers:
    """One stub per service."""

    age_verification: Any
    messaging: Any
    moderation: Any
    response_sla: Any
    scheduling: Any


@asynccontextmanager
async def callers(
    targets: Mapping[str, str], token_with: Callable[[list[str]], str], *, deadline_seconds: float = 15
) -> AsyncIterator[Callers]:
    """Takes host:port by service, and how to get a token with given rights; gives a caller with every right."""
    token = token_with([*every_right(), "act_for"])
    async with AsyncExitStack() as stack:
        stubs = {}
        for service, stub in STUBS.items():
            opened = channel(targets[service], token, deadline_seconds=deadline_seconds)
            stubs[service] = stub(await stack.enter_async_context(opened))
        yield Callers(**stubs)


def every_right() -> list[str]:
    """Returns every right that a method of the platform asks for."""
    pool = descriptor_pool.Default()
    methods = [method for name in GRPC_SERVICES.values() for method in pool.FindServiceByName(name).methods]
    return sorted({method.GetOptions().Extensions[access].right for method in methods})
