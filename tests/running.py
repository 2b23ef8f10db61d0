"""A service as its own process, for tests that call it from outside."""

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from infra.local import keys
from infra.local.servers import Servers
from kernel.grpc.client import channel

START_SECONDS = 40.0
STOP_SECONDS = 30.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass(slots=True)
class ServiceProcess:
    """`cell` tells this run's facts from those of others on the same topics. `package`: where the module `name` is."""

    name: str
    servers: Servers
    database_url: str
    credentials: Path
    folder: Path
    cell: str = field(default_factory=lambda: f"test{secrets.token_hex(4)}")
    roles: Sequence[str] = ()
    more: dict[str, str] = field(default_factory=dict)
    package: str = "services"
    port: int = field(default_factory=free_port)
    metrics_port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        return self.folder / f"{self.name}-{self.port}.log"

    def start(self, *, wait: bool = True) -> "ServiceProcess":
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", f"{self.package}.{self.name}", *self.roles],
                env={**os.environ, **self.environment(), **self.more},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        if wait and (not self.roles or "api" in self.roles):
            self.wait_until_ready()
        return self

    def environment(self) -> dict[str, str]:
        return {
            "HOLDSPACE_ENVIRONMENT": "local",
            "HOLDSPACE_DATABASE_URL": self.database_url,
            "HOLDSPACE_KAFKA": self.servers.kafka,
            "HOLDSPACE_CELL": self.cell,
            "HOLDSPACE_GRPC_PORT": str(self.port),
            "HOLDSPACE_METRICS_PORT": str(self.metrics_port),
            "HOLDSPACE_JWKS": str(keys.jwks_path(self.credentials, "platform")),
            "HOLDSPACE_ISSUER": keys.ISSUER,
            "HOLDSPACE_AUDIENCE": keys.AUDIENCE,
            "HOLDSPACE_AGE_JWKS": str(keys.jwks_path(self.credentials, "age-provider")),
            "HOLDSPACE_AGE_ISSUER": keys.AGE_ISSUER,
            "HOLDSPACE_AGE_AUDIENCE": keys.AGE_AUDIENCE,
        }

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self._is_ready():
            assert self.process is not None
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"{self.name} did not become ready:\n{self.log.read_text()[-3000:]}")
            time.sleep(0.05)

    def _is_ready(self) -> bool:
        with grpc.insecure_channel(self.target) as plain:  # A new one each time: a channel that failed waits longer.
            try:
                answer = health_pb2_grpc.HealthStub(plain).Check(health_pb2.HealthCheckRequest(), timeout=1)
            except grpc.RpcError:
                return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    def stop(self) -> int:
        """SIGTERM, as an orchestrator would. Returns the exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
        return self.process.wait()

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def channel(
        self, *scope: str, subject: str = "web", kind: Literal["service", "person"] = "service"
    ) -> grpc.aio.Channel:
        """A channel whose token carries these rights, and `act_for` for a service."""
        return self._channel([*scope, "act_for"] if kind == "service" else list(scope), subject, kind)

    def channel_without_act_for(self, *scope: str) -> grpc.aio.Channel:
        """A channel of a service that may act for nobody."""
        return self._channel(list(scope), "web", "service")

    def _channel(self, scope: list[str], subject: str, kind: Literal["service", "person"]) -> grpc.aio.Channel:
        token = keys.mint(self.credentials, subject=subject, kind=kind, scope=scope)
        return channel(self.target, token, deadline_seconds=15)
