"""A server that answers SendMessage and does nothing: `python -m tests.load.echo`, what a call costs without its work.

The server is the kernel's, with all that happens to a call before and after its handler. With HOLDSPACE_BARE=true it is
gRPC's own with nothing around the handler.
"""

from collections.abc import Collection, Sequence
from typing import Any

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from grpc_health.v1 import health_pb2_grpc
from grpc_health.v1.health import aio as health
from grpc_health.v1.health_pb2 import HealthCheckResponse

from holdspace.messaging.v1 import service_pb2_grpc
from holdspace.messaging.v1.service_pb2 import SendMessageRequest, SendMessageResponse
from kernel.clock import SystemClock
from kernel.grpc.server import Server
from kernel.ids import RandomIds
from kernel.metrics import Metrics
from kernel.process import Role, main
from kernel.settings import ServiceSettings

# As long as a real one, so that both answers cost the same on their way.
ANSWER = SendMessageResponse(
    conversation_id="0" * 32,
    message_id="0" * 32,
    sequence=1,
    accepted_at=Timestamp(seconds=1_700_000_000, nanos=1_000),
    revision="0" * 32,
)


class Settings(ServiceSettings):
    bare: bool = False


class _Echo(service_pb2_grpc.MessagingServiceServicer):
    """The other methods answer UNIMPLEMENTED."""

    async def SendMessage(self, request: SendMessageRequest, context: Any) -> SendMessageResponse:  # noqa: N802 - gRPC's name
        return ANSWER


Echo: type[Any] = _Echo  # The stubs call the others abstract.


class Bare:
    """The role `api` without anything of ours in it."""

    name = "api"

    def __init__(self, settings: Settings) -> None:
        self._server = grpc.aio.server()
        service_pb2_grpc.add_MessagingServiceServicer_to_server(Echo(), self._server)
        self._health = health.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        self._server.add_insecure_port(f"{settings.grpc_host}:{settings.grpc_port}")

    async def run(self) -> None:
        await self._health.set("", HealthCheckResponse.SERVING)
        await self._server.start()
        await self._server.wait_for_termination()

    async def stop(self) -> None:
        await self._server.stop(None)


async def _nothing() -> None: ...


async def wire(settings: Settings, metrics: Metrics, _: Collection[str]) -> Sequence[Role]:
    if settings.bare:
        return [Bare(settings)]
    echo = (service_pb2_grpc.add_MessagingServiceServicer_to_server, Echo())
    return [Server([echo], settings, metrics, clock=SystemClock(), ids=RandomIds(), reach_store=_nothing)]


if __name__ == "__main__":
    main("echo", Settings, wire)
