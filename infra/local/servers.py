"""The servers of the local stack, PostgreSQL and Kafka: started here, or existing ones named by the environment.

Every function blocks and takes the folder the stack lives in; call them from a thread in asynchronous code.
"""

import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from infra.local import broker, postgres, processes, state, supervisor
from infra.local.stack_error import StackError
from infra.local.supervisor import Program

ServerName = Literal["postgres", "kafka"]

DATABASE_VARIABLE = "HOLDSPACE_DATABASE_URL"
KAFKA_VARIABLE = "HOLDSPACE_KAFKA"
FREE_BYTES_MIN = 1024**3  # a cluster, its write-ahead log and Kafka's first segments
DOWN_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Servers:
    """Where the servers answer: a PostgreSQL URL and a Kafka bootstrap address (host:port)."""

    database_url: str
    kafka: str


@dataclass(frozen=True, slots=True)
class Status:
    """One program of the stack as `status` shows it; `pid` is None while it does not run."""

    name: str
    address: str
    pid: int | None


def up(data: Path, say: Callable[[str], None]) -> Servers:
    """Have both servers running and answering; a second call finds the first, one after a killed call tidies up.

    `say` receives one line per step. Raises StackError when something a person must put right is in the way.
    """
    with state.locked(data):
        check_external()
        programs = own_programs()
        check_room(data)
        if "kafka" in programs and not supervisor.is_running(data, broker.NAME):
            broker.require_tools()
        supervisor.ensure(data, list(programs.values()), say)
        return addresses(data)


def down(data: Path) -> None:
    """Stop everything this stack started, services first; returns when no process of it is left."""
    with state.locked(data):
        names = list(state.load(data))
        servers = [postgres.NAME, broker.NAME]
        supervisor.stop_all(data, [name for name in names if name not in servers], DOWN_SECONDS)
        supervisor.stop_all(data, servers, DOWN_SECONDS)


def status(data: Path) -> list[Status]:
    """Every program this stack ever started, in the order of its first start."""
    return [
        Status(name=name, address=supervisor.address(data, name), pid=living_pid(entry))
        for name, entry in state.load(data).items()
    ]


def living_pid(entry: state.Entry) -> int | None:
    """The pid of an entry's process while it lives."""
    process = processes.find(entry.process) if entry.process is not None else None
    return process.pid if process is not None else None


def start_server(data: Path, name: ServerName) -> None:
    """Start a stopped server on the ports it had, and wait until it answers; does nothing when it runs.

    Raises StackError when the server is not ours, was never started, or a port of it has been taken since.
    """
    program = own_program(name)
    with state.locked(data):
        supervisor.start(data, program)


def stop_server(data: Path, name: ServerName, *, hard: bool = False) -> None:
    """Stop one server and remember its ports. `hard` kills it and its children at once, as a power cut would.

    Raises StackError when the server is not ours.
    """
    program = own_program(name)
    with state.locked(data):
        supervisor.stop(data, program, signal.SIGKILL if hard else None)


def addresses(data: Path) -> Servers:
    """Where the servers of this stack answer; raises StackError when one was never started and none is named."""
    stack = state.load(data)
    try:
        return Servers(
            database_url=os.environ.get(DATABASE_VARIABLE) or postgres.url(stack[postgres.NAME].ports["sql"]),
            kafka=os.environ.get(KAFKA_VARIABLE) or broker.address(stack[broker.NAME].ports["broker"]),
        )
    except KeyError as missing:
        raise StackError(f"{missing.args[0]} was never started in {data}; run up first.") from missing


def own_programs() -> dict[ServerName, Program]:
    """The servers that are ours to run: those no variable of the environment names."""
    programs: dict[ServerName, Program] = {}
    if not os.environ.get(DATABASE_VARIABLE):
        programs["postgres"] = postgres.program()
    if not os.environ.get(KAFKA_VARIABLE):
        programs["kafka"] = broker.program()
    return programs


def own_program(name: ServerName) -> Program:
    """One of our servers; raises StackError when the environment names another in its place."""
    programs = own_programs()
    if name not in programs:
        raise StackError(
            f"{name} is an existing server named by the environment; this stack does not start or stop it."
        )
    return programs[name]


def check_external() -> None:
    """Ask the servers the environment names; raises StackError with one line, no password in it, when one is silent."""
    if database_url := os.environ.get(DATABASE_VARIABLE):
        try:
            postgres.check(database_url)
        except StackError as error:
            reason = str(error).splitlines()[-1]
            place = f"{urlsplit(database_url).hostname}:{urlsplit(database_url).port or 5432}"
            raise StackError(f"{DATABASE_VARIABLE} is set, but {place} does not answer a query: {reason}") from None
    if (kafka := os.environ.get(KAFKA_VARIABLE)) and not broker.answers(kafka):
        raise StackError(f"{KAFKA_VARIABLE} is set, but no Kafka broker answers at {kafka}.")


def check_room(data: Path) -> None:
    """Raise StackError when the disk has too little room for the servers to start and work."""
    free = shutil.disk_usage(data).free
    if free < FREE_BYTES_MIN:
        raise StackError(
            f"{data} has {free // 1024**2} MiB free; the local stack needs {FREE_BYTES_MIN // 1024**2} MiB."
        )
