"""A service's gRPC server, as the role `api`."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

import grpc
import structlog
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import ServiceDescriptor
from grpc_health.v1 import health_pb2_grpc
from grpc_health.v1.health import aio as health
from grpc_health.v1.health_pb2 import HealthCheckResponse
from grpc_reflection.v1alpha import reflection

from kernel.clock import Clock
from kernel.grpc.access import check_declared
from kernel.grpc.auth import Authenticator
from kernel.grpc.draining import Draining
from kernel.grpc.errors import Reasons
from kernel.grpc.interceptor import Interceptor
from kernel.grpc.jwks import Keys
from kernel.ids import Ids
from kernel.metrics import Metrics
from kernel.settings import ServiceSettings
from kernel.tasks import first_to_end

Service = tuple[Callable[[Any, Any], None], object]
"""The generated add_..._to_server, and the servicer it adds."""

STATUS = {True: HealthCheckResponse.SERVING, False: HealthCheckResponse.NOT_SERVING}
READINESS_SECONDS = 0.5
GOAWAY_SECONDS = 0.02  # for gRPC to tell its connections, which it does before anything else
ANSWER_SECONDS_MAX = 1.0  # for answers to be sent, and for those who watch the server's health to leave

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


class _Registry:
    """Stands in for a server while services add themselves: it is known what they are before anything listens."""

    def __init__(self) -> None:
        self.handlers: list[grpc.GenericRpcHandler] = []
        self.names: list[str] = []

    def add_generic_rpc_handlers(self, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        self.handlers.extend(handlers)

    def add_registered_method_handlers(self, service: str, _: Mapping[str, object]) -> None:
        self.names.append(service)


class Server:
    """Serves once the issuer's keys and the service's own store have been reached; from then on neither turns it off.

    Plain text: whatever carries the calls between pods encrypts them.
    """

    name = "api"

    def __init__(
        self,
        services: Sequence[Service],
        settings: ServiceSettings,
        metrics: Metrics,
        *,
        clock: Clock,
        ids: Ids,
        reach_store: Callable[[], Awaitable[object]],
        check: Callable[[], None] = lambda: None,
    ) -> None:
        """`reach_store`: anything that fails when the store is away, such as its `head`. `check` raises while this
        process must answer nothing, as with a clock that is off: calls end with what it raises, and readiness is down.

        Raises WrongDeclaration naming all that the proto files of the services do not declare.
        """
        self._settings = settings
        self._metrics = metrics
        self._reach_store = reach_store
        self._registry = _Registry()
        for add, servicer in services:
            add(servicer, self._registry)
        self._descriptors = [_descriptor(name) for name in self._registry.names]
        self._authenticator = _authenticator(settings, clock)
        self._draining = Draining()
        self._interceptor = Interceptor(
            check_declared(self._descriptors),
            Reasons(self._descriptors),
            self._authenticator,
            metrics,
            ids,
            self._draining,
            check,
        )
        self._check = check
        self._is_ready: bool | None = None
        self._server: grpc.aio.Server | None = None
        self._health = health.HealthServicer()

    async def run(self) -> None:
        """Starts, and returns when the server has stopped. Raises what `start` raises."""
        await self.start()
        if self._draining.is_on:  # Told to stop while it started.
            await self.stop()
        elif self._server is not None:
            await first_to_end(self._server.wait_for_termination(), self._tell_readiness())

    async def start(self) -> int:
        """Returns the port bound. Raises ConnectionError when the issuer's keys cannot be had, what reach_store raises,
        RuntimeError when the address is taken.
        """
        await self._authenticator.load()
        await self._reach_store()
        server = grpc.aio.server(
            handlers=self._registry.handlers, interceptors=[self._interceptor], options=_options(self._settings)
        )
        self._health = health.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)  # For anyone, as reflection is.
        if self._settings.grpc_reflection:
            reflection.enable_server_reflection([*self._registry.names, reflection.SERVICE_NAME], server)
        port = server.add_insecure_port(f"{self._settings.grpc_host}:{self._settings.grpc_port}")
        await server.start()
        self._server = server
        await self._set_ready()
        log.info("serving", host=self._settings.grpc_host, port=port)
        return port

    async def _tell_readiness(self) -> None:
        while True:
            await asyncio.sleep(READINESS_SECONDS)
            if not self._draining.is_on:
                await self._set_ready()

    async def _set_ready(self) -> None:
        try:
            self._check()
            ready = True
        except Exception as error:
            ready = False
            if self._is_ready:
                log.error("not ready", cause=f"{type(error).__name__}: {error}")
        if ready is not self._is_ready:
            self._is_ready = ready
            for name in ("", *self._registry.names):
                await self._health.set(name, STATUS[ready])
        self._metrics.ready(ready)

    async def stop(self) -> None:
        """Refuses new calls, ends streams at their next request, gives what is under way `drain_seconds`, and lets
        every caller have an answer.
        """
        self._draining.begin()
        self._metrics.ready(False)
        if self._server is None:
            return
        await self._health.enter_graceful_shutdown()
        await self._draining.idle(self._settings.drain_seconds)
        await self._draining.quiet()
        stopping = asyncio.create_task(self._server.stop(ANSWER_SECONDS_MAX))
        await asyncio.sleep(GOAWAY_SECONDS)
        self._draining.left()
        await stopping


def _authenticator(settings: ServiceSettings, clock: Clock) -> Authenticator:
    leeway = timedelta(seconds=settings.token_leeway_seconds)
    keys = Keys(settings.jwks, clock)
    return Authenticator(keys, clock, issuer=settings.issuer, audience=settings.audience, leeway=leeway)


def _descriptor(service: str) -> ServiceDescriptor:
    found: ServiceDescriptor = descriptor_pool.Default().FindServiceByName(service)
    return found


def _options(settings: ServiceSettings) -> Sequence[tuple[str, int]]:
    """gRPC core's arguments (grpc_types.h); times in milliseconds."""
    return (
        ("grpc.so_reuseport", 0),  # Two servers on one port would share its calls without a word.
        ("grpc.max_receive_message_length", settings.request_bytes_max),
        ("grpc.max_concurrent_streams", settings.connection_streams_max),
        ("grpc.max_connection_age_ms", int(settings.connection_age_seconds_max * 1_000)),
        ("grpc.max_connection_age_grace_ms", int(settings.drain_seconds * 1_000)),
    )
