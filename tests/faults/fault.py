"""What a fault is, and what it needs before the platform starts."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tests.faults.rig import Rig

Inject = Callable[[Rig], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Fault:
    """`inject` breaks something while calls are in flight, and returns when it no longer is broken; its docstring
    begins with what docs/reliability.md says of it. `instances`: of every service. `disk_bytes`: of the file system of
    servers and logs, 0 for the machine's own.
    """

    inject: Inject
    instances: int = 1
    disk_bytes: int = 0

    @property
    def what(self) -> str:
        return " ".join((self.inject.__doc__ or "").split("\n\n")[0].split())
