from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.local.servers import Servers
from tests.e2e.platform import Platform


@pytest.fixture(scope="package")
def platform(
    servers: Servers, session_database_url: str, credentials: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Platform]:
    """All five services as processes, on a database of their own, gates fresh."""
    running = Platform.start(servers, session_database_url, credentials, tmp_path_factory.mktemp("platform"))
    try:
        yield running
    finally:
        running.stop()
