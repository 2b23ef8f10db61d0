"""One process of a service: runs its roles until it is told to stop, and starts again those that fail."""

import argparse
import asyncio
import os
import random
import signal
import sys
import threading
from collections.abc import Awaitable, Callable, Collection, Sequence
from types import FrameType
from typing import Any, Protocol, TypeVar

import structlog
import uvloop
from aiokafka.errors import KafkaConnectionError
from prometheus_client import CollectorRegistry
from structlog.contextvars import bind_contextvars

from kernel import garbage, logs
from kernel.backoff import backoff_seconds
from kernel.errors import StoreUnavailable, WrongSetting
from kernel.lease import LeaseLost
from kernel.metrics import Metrics, MetricsEndpoint
from kernel.settings import ServiceSettings, load
from kernel.store.connections import is_away
from kernel.tasks import happens, is_being_cancelled, waiting_at

ROLES = ("api", "lanes", "reactions", "projections", "relay")
MIGRATE = "migrate"
NOT_WAITED_FOR = frozenset({"reactions", "projections"})  # by no gate
NICENESS = 10  # a tenth of a processor that others want too
AWAY = (StoreUnavailable, LeaseLost, KafkaConnectionError)
"""With what `is_away`: a role raises it when something it needs cannot be reached. A line in the log, no stack."""

BACK_SECONDS = 8.0  # A role that ran this long had what it needs: what fails then is another outage.
SETTLED_SECONDS = 60.0  # A role that ran this long begins again with the shortest pause.
EXIT_FAILED = 1
EXIT_WRONG_SETTING = 2
EXIT_HUNG = 70

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()
S = TypeVar("S", bound=ServiceSettings)


class Role(Protocol):
    """One thing a process does, under a name for logs and metrics; the one named `api` is stopped first.

    `run` returns when its work is done or `stop` was called. After it raised it is called again, and starts from
    what is committed. `stop` may be called at any time, before `run` too.
    """

    name: str

    async def run(self) -> None: ...

    async def stop(self) -> None: ...


Wire = Callable[[S, Metrics, Collection[str]], Awaitable[Sequence[Role]]]
"""A service's wiring: takes settings, metrics and the names of roles, returns what runs in them, constructed."""


def main(service: str, settings_class: type[S], wire: Wire[S], arguments: Sequence[str] | None = None) -> None:
    """Runs the roles named by the arguments; without any, all but migrate.

    A process whose roles no gate waits for gives way to others of its machine: it runs with a niceness of 10.

    Ends when it is told to stop or all roles are done. Exits 1 when wiring or a migration fails, 2 for wrong settings
    or arguments, 70 when a stop hangs.
    """
    roles = _roles(service, arguments)
    if roles <= NOT_WAITED_FOR:
        os.nice(NICENESS)
    try:
        settings = load(settings_class)
        logs.configure(settings.log_level)
        uvloop.run(_run(service, settings, wire, roles))
    except WrongSetting as wrong:
        print(wrong, file=sys.stderr)
        sys.exit(EXIT_WRONG_SETTING)
    except Exception:
        log.critical("failed", service=service, exc_info=True)
        sys.exit(EXIT_FAILED)


def _roles(service: str, arguments: Sequence[str] | None) -> frozenset[str]:
    parser = argparse.ArgumentParser(prog=f"python -m services.{service}")
    parser.add_argument("roles", nargs="*", metavar="role", help=f"of {', '.join(ROLES)}, or {MIGRATE} alone")
    asked = parser.parse_args(arguments).roles or ROLES
    if unknown := [role for role in asked if role not in (*ROLES, MIGRATE)]:
        parser.error(f"no such role: {', '.join(unknown)}")
    if MIGRATE in asked and len(asked) > 1:
        parser.error(f"{MIGRATE} runs alone")
    return frozenset(asked)


async def _run(service: str, settings: S, wire: Wire[S], names: Collection[str]) -> None:
    bind_contextvars(service=service)
    stop = Stop(settings)
    stop.listen()
    metrics = Metrics(CollectorRegistry())
    try:
        endpoint = MetricsEndpoint(metrics, settings.metrics_host, settings.metrics_port)
    except OSError as error:
        raise WrongSetting(f"HOLDSPACE_METRICS_PORT: {settings.metrics_port} cannot be listened on: {error}") from error
    roles: list[Role] = []

    async def build() -> None:
        roles.extend(await wire(settings, metrics, names))

    try:
        await Supervisor(metrics, stop, restart=False).keep("wiring", build)
        if not roles and not stop.asked.is_set():
            raise WrongSetting(f"{service} has nothing to run in the role {', '.join(sorted(names))}")
        garbage.keep_what_is_there()
        await Supervisor(metrics, stop, restart=MIGRATE not in names).run(roles)
    finally:
        endpoint.stop()


def cause_away(error: Exception) -> str:
    """Returns one line for what cannot be reached; empty when the error, or one of its group, is something else."""
    if isinstance(error, ExceptionGroup):
        causes = [cause_away(each) for each in error.exceptions]
        return causes[0] if all(causes) else ""
    away = isinstance(error, AWAY) or is_away(error)
    return f"{type(error).__name__}: {error}".split("\n", 1)[0] if away else ""


class Stop:
    """The request to stop, and the end of patience: a thread ends the process, since a hung event loop cannot."""

    def __init__(self, settings: ServiceSettings) -> None:
        self.seconds = settings.stop_seconds
        self.drain_seconds = settings.drain_seconds
        self.asked = asyncio.Event()
        self._timer: threading.Timer | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def listen(self) -> None:
        """Takes SIGTERM and SIGINT as the request, from the main thread of a running loop."""
        loop = self._loop = asyncio.get_running_loop()

        def ask(_: int, __: FrameType | None) -> None:
            if not self.asked.is_set():  # Repeated signals do not prolong it.
                self.exit_hard_after(self.drain_seconds + self.seconds)
                loop.call_soon_threadsafe(self.asked.set)

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, ask)

    def exit_hard_after(self, seconds: float) -> None:
        """Replaces the time set before. It holds until the process has ended, whatever still runs then."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = threading.Timer(seconds, self._exit_hard)
        self._timer.daemon = True
        self._timer.start()

    def _exit_hard(self) -> None:
        log.critical("the stop hangs; exiting hard", at=[] if self._loop is None else waiting_at(self._loop))
        os._exit(EXIT_HUNG)


class Supervisor:
    """Runs roles side by side, each started again when it fails, and stops them in order."""

    def __init__(self, metrics: Metrics, stop: Stop, *, restart: bool) -> None:
        """`restart`: whether what fails by its own fault is started again. When something is away it always is."""
        self._metrics = metrics
        self._stop = stop
        self._restart = restart

    async def run(self, roles: Sequence[Role]) -> None:
        """Returns when all roles are done or stopped. Raises what `keep` raises, once the others have stopped."""
        if not roles:  # Told to stop before they were wired.
            return
        kept = [asyncio.create_task(self.keep(role.name, role.run)) for role in roles]
        ended: asyncio.Task[Any] = asyncio.create_task(asyncio.wait(kept))
        asked: asyncio.Task[Any] = asyncio.create_task(self._stop.asked.wait())
        await asyncio.wait([ended, asked], return_when=asyncio.FIRST_COMPLETED)
        asked.cancel()
        if not ended.done():
            await self._stop_in_order(roles)
        await ended
        for task in kept:
            task.result()

    async def keep(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        """Runs it until it returns or the process stops. What it raises for good also asks the others to stop."""
        bind_contextvars(role=name)
        loop = asyncio.get_running_loop()
        attempt, is_told = 0, False
        while not self._stop.asked.is_set():
            began = loop.time()
            try:
                await run()
                break
            except asyncio.CancelledError:
                if is_being_cancelled():
                    raise
                log.exception("cancelled from inside; starting again")
            except Exception as error:
                if cause := cause_away(error):
                    if not is_told:  # One line for an outage, however long, and whatever it looks like meanwhile.
                        log.warning("cannot be reached; trying again", cause=cause)
                        is_told = True
                elif isinstance(error, WrongSetting) or not self._restart:
                    self._stop.asked.set()
                    raise
                else:
                    log.exception("failed; starting again")
            self._metrics.role_restarted(name)
            if loop.time() - began > BACK_SECONDS:
                is_told = False
            if loop.time() - began > SETTLED_SECONDS:
                attempt = 0
            await happens(self._stop.asked, backoff_seconds(attempt, random.random))
            attempt += 1

    async def _stop_in_order(self, roles: Sequence[Role]) -> None:
        """Drains the api while everything behind it still works, then stops the rest."""
        log.info("stopping")
        self._stop.exit_hard_after(self._stop.drain_seconds + self._stop.seconds)
        await asyncio.gather(*(_stop_one(role) for role in roles if role.name == "api"))
        self._stop.exit_hard_after(self._stop.seconds)
        await asyncio.gather(*(_stop_one(role) for role in roles if role.name != "api"))


async def _stop_one(role: Role) -> None:
    bind_contextvars(role=role.name)
    try:
        await role.stop()
    except Exception:
        log.exception("did not stop as it should")
