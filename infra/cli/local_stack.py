"""The stack of `make up` on this machine, as the operators' command uses it. Needs the development dependencies."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from infra.local import broker, keys, postgres, servers, services, state, supervisor
from infra.local.ports import LOOPBACK
from infra.local.stack import LOCAL_PARTITIONS, LOCAL_REPLICATION

DEFAULT_FOLDER = services.ROOT / ".local"
TOKEN_SECONDS = 12 * 3600  # an import may take hours


@dataclass(frozen=True, slots=True)
class LocalStack:
    data: Path

    def database_url(self) -> str | None:
        """Returns None while the server does not run; so do the others."""
        return servers.addresses(self.data).database_url if self._runs(postgres.NAME, broker.NAME) else None

    def kafka(self) -> str | None:
        return servers.addresses(self.data).kafka if self._runs(postgres.NAME, broker.NAME) else None

    def api(self, service: str) -> str | None:
        return f"{LOOPBACK}:{state.load(self.data)[service].ports['grpc']}" if self._runs(service) else None

    def topic_settings(self, kafka: str) -> tuple[int, int] | None:
        """Returns copies and partitions of the stack's topics, if that address is the stack's."""
        return (LOCAL_REPLICATION, LOCAL_PARTITIONS) if kafka == self.kafka() else None

    def token(self, subject: str, kind: Literal["service", "person"], scope: tuple[str, ...]) -> str:
        """Raises StackError before the stack made its keys, and outside the local environment."""
        os.environ.setdefault("HOLDSPACE_ENVIRONMENT", "local")  # A name set by hand is respected, and refused.
        return keys.mint(self.data, subject=subject, kind=kind, scope=scope, lifetime_seconds=TOKEN_SECONDS)

    def _runs(self, *names: str) -> bool:
        return all(supervisor.is_running(self.data, name) for name in names)
