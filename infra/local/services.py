"""The five services as processes of the local stack, each with the settings a deployment would give it."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from infra.database import SERVICES
from infra.local import keys, processes, servers, state, supervisor
from infra.local.ports import LOOPBACK
from infra.local.processes import Launch
from infra.local.stack_error import StackError
from infra.local.supervisor import Ports, Program

ROOT = Path(__file__).resolve().parents[2]
MIGRATE_SECONDS = 120.0
READY_SECONDS = 60.0
STOP_SECONDS = 20.0  # an api drains, then a consumer has its five seconds
ANSWER_SECONDS = 1.0


def up(data: Path, say: Callable[[str], None]) -> None:
    """Have every service that can be run migrated, running and ready; raises StackError when one dies or is late.

    The servers must answer, the database be prepared, and topics and keys exist.
    """
    runnable = [name for name in SERVICES if module_of(name).exists()]
    for name in SERVICES:
        if name not in runnable:
            say(f"{name} left out: it has no {module_of(name).relative_to(ROOT)}")
    with state.locked(data):
        supervisor.ensure(data, [program(name) for name in runnable], say)


def start_service(data: Path, name: str) -> None:
    """Start a stopped service on the ports it had and wait until it is ready; raises StackError like `up`."""
    with state.locked(data):
        supervisor.start(data, program(name))


def stop_service(data: Path, name: str) -> None:
    """Ask a service to end and wait until it has; it is killed when it takes longer than a drain may."""
    with state.locked(data):
        supervisor.stop(data, program(name))


def kill_service(data: Path, name: str) -> None:
    """End a service without letting it finish anything, as a lost node would."""
    with state.locked(data):
        supervisor.stop(data, program(name), signal.SIGKILL)


def program(name: str) -> Program:
    """One service for the supervisor; its ports are called `grpc` and `metrics`. Raises StackError on another name."""
    if name not in SERVICES:
        raise StackError(f"There is no service {name!r}; the services are {', '.join(SERVICES)}.")
    return Program(
        name=name,
        port_names=("grpc", "metrics"),
        stop_signal=signal.SIGTERM,
        stop_seconds=STOP_SECONDS,
        ready_seconds=READY_SECONDS,
        prepare=lambda data, _say: migrate(data, name),
        launch=lambda data, _ports: Launch(command(name), environment(data, name), ROOT),
        is_ready=is_ready,
    )


def migrate(data: Path, name: str) -> None:
    """Bring the service's schema up to date; raises StackError with the last lines it printed when that fails."""
    whole = environment(data, name)
    try:
        processes.run(command(name, "migrate"), environment=whole, folder=ROOT, timeout_seconds=MIGRATE_SECONDS)
    except StackError as error:
        raise StackError(f"The database of {name} could not be migrated: {error}") from error


def command(name: str, *arguments: str) -> tuple[str, ...]:
    """How the service is executed, by the Python that runs us."""
    return (sys.executable, "-m", f"services.{name}", *arguments)


def environment(data: Path, service: str) -> dict[str, str]:
    """The complete environment of a service's process; raises StackError before the servers and ports are known."""
    entry = state.load(data).get(service)
    if entry is None:
        raise StackError(f"{service} was never started in {data}; run up first.")
    where = servers.addresses(data)
    settings = {
        "HOLDSPACE_ENVIRONMENT": "local",
        "HOLDSPACE_CELL": "local",
        "HOLDSPACE_DATABASE_URL": where.database_url,
        "HOLDSPACE_KAFKA": where.kafka,
        "HOLDSPACE_GRPC_PORT": str(entry.ports["grpc"]),
        "HOLDSPACE_METRICS_PORT": str(entry.ports["metrics"]),
        "HOLDSPACE_JWKS": str(keys.jwks_path(data, "platform")),
        "HOLDSPACE_ISSUER": keys.ISSUER,
        "HOLDSPACE_AUDIENCE": keys.AUDIENCE,
    }
    if service == "age_verification":
        settings |= {
            "HOLDSPACE_AGE_JWKS": str(keys.jwks_path(data, "age-provider")),
            "HOLDSPACE_AGE_ISSUER": keys.AGE_ISSUER,
            "HOLDSPACE_AGE_AUDIENCE": keys.AGE_AUDIENCE,
        }
    return {**os.environ, "PYTHONUNBUFFERED": "1", **settings}


def is_ready(ports: Ports) -> bool:
    """Whether the service says over gRPC that it serves (grpc.health.v1, the server as a whole)."""
    with grpc.insecure_channel(f"{LOOPBACK}:{ports['grpc']}") as channel:
        health = health_pb2_grpc.HealthStub(channel)
        try:
            answer = health.Check(health_pb2.HealthCheckRequest(service=""), timeout=ANSWER_SECONDS)
        except grpc.RpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def module_of(name: str) -> Path:
    """The file that makes a service executable."""
    return ROOT / "services" / name / "__main__.py"
