"""A process of a service made of roles that behave as their names say: the program the tests of a process start."""

import asyncio
import os
import time
from collections.abc import Collection, Sequence

import structlog

from kernel.errors import StoreUnavailable, WrongSetting
from kernel.metrics import Metrics
from kernel.process import Role, main
from kernel.settings import ServiceSettings

log = structlog.get_logger()


class Behaving:
    """Runs until it is stopped. `behaviour` is what it does instead, or besides."""

    def __init__(self, name: str, behaviour: str) -> None:
        self.name = name
        self._behaviour = behaviour
        self._stopped = asyncio.Event()
        self._runs = 0

    async def run(self) -> None:
        self._runs += 1
        log.info("runs", number=self._runs)
        match self._behaviour:
            case "ends":
                return
            case "fails":
                raise RuntimeError("a fault")
            case "fails-once" if self._runs == 1:
                raise RuntimeError("a fault")
            case "away-twice" if self._runs <= 2:
                raise StoreUnavailable("no connection\nand more")
            case "away-with-others" if self._runs <= 2:
                raise ExceptionGroup("several", [StoreUnavailable("no connection"), OSError("nobody there")])
            case "cancelled-once" if self._runs == 1:
                raise asyncio.CancelledError  # as libraries do by mistake
            case "wrong-setting":
                await asyncio.sleep(0.1)  # The others run by then.
                raise WrongSetting("HOLDSPACE_KAFKA: has no topics")
        await self._stopped.wait()

    async def stop(self) -> None:
        log.info("stops")
        match self._behaviour:
            case "hangs":
                await asyncio.sleep(60)
            case "blocks":
                time.sleep(60)  # noqa: ASYNC251 - what is tested
            case "slow":
                await asyncio.sleep(0.3)
        self._stopped.set()
        log.info("stopped")


async def wire(_: ServiceSettings, __: Metrics, names: Collection[str]) -> Sequence[Role]:
    behaviours = dict(pair.split("=") for pair in os.environ["BEHAVIOURS"].split())
    if "wiring" in behaviours:
        raise RuntimeError("cannot be wired")
    roles = [Behaving(name, behaviours.get(name, "")) for name in sorted(names, reverse=True)]
    return [role for role in roles if behaviours.get(role.name) != "missing"]


if __name__ == "__main__":
    main("diary", ServiceSettings, wire)
