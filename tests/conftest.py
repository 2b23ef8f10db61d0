"""Real servers for every test that needs one: started once per run by the project's own local stack, ended with it."""

import asyncio
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
from hypothesis import settings

from infra import topics
from infra.database import SERVICES, prepare
from infra.local import keys
from infra.local import servers as local_servers
from infra.local.servers import Servers
from kernel.migrate import migrate

# How long an example takes says how busy the machine is, and nothing about the product.
settings.register_profile("holdspace", deadline=None)
settings.load_profile("holdspace")


@pytest.fixture(scope="session")
def servers_folder() -> Iterator[Path]:
    """Where the servers of this run live, for tests that stop and start them."""
    with tempfile.TemporaryDirectory(prefix="holdspace-test-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def servers(servers_folder: Path) -> Iterator[Servers]:
    try:
        found = local_servers.up(servers_folder, print)
        topics.apply(found.kafka, topics.load(), replication=1, partitions=4)
        yield found
    finally:
        local_servers.down(servers_folder)


@pytest.fixture(scope="session")
def credentials(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the keys that the tests' tokens are signed with (infra.local.keys)."""
    folder = tmp_path_factory.mktemp("credentials")
    keys.create(folder)
    return folder


@pytest.fixture(scope="session")
def prepared_database(servers: Servers) -> str:
    """The name of a database with every service's schema, to copy from; nobody stays connected to it."""
    name = "prepared"

    async def make() -> None:
        await _execute(servers.database_url, f"create database {name}")
        url = with_database(servers.database_url, name)
        await prepare(url)
        for service in SERVICES:
            await migrate(url, service)

    asyncio.run(make())
    return name


@pytest.fixture(scope="session")
def session_database_url(servers: Servers, prepared_database: str) -> Iterator[str]:
    """A database for all tests that share the running platform."""
    yield from new_database(servers, prepared_database)


@pytest.fixture(scope="module")
def module_database_url(servers: Servers, prepared_database: str) -> Iterator[str]:
    """A database for the tests of one module, which keep apart by their ids."""
    yield from new_database(servers, prepared_database)


@pytest.fixture
def database_url(servers: Servers, prepared_database: str) -> Iterator[str]:
    """A database of the test's own, all schemas in place and empty."""
    yield from new_database(servers, prepared_database)


def new_database(servers: Servers, prepared_database: str) -> Iterator[str]:
    name = f"test_{uuid.uuid4().hex}"
    # Rights on the database itself are not copied from a template; a rebuild makes and renames schemas.
    readers = ", ".join(f"{service}_reader" for service in SERVICES)
    asyncio.run(
        _execute(
            servers.database_url,
            f"create database {name} template {prepared_database}",
            f"grant create on database {name} to {readers}",
        )
    )
    yield with_database(servers.database_url, name)
    asyncio.run(_drop(servers.database_url, name))


async def _drop(url: str, name: str) -> None:
    """Ends who is connected. Refused while a background worker of Postgres is, which only passes by."""
    for _ in range(20):
        try:
            return await _execute(url, f"drop database {name} with (force)")
        except (asyncpg.InsufficientPrivilegeError, asyncpg.ObjectInUseError):
            await asyncio.sleep(0.2)
    raise AssertionError(f"{name} cannot be dropped")


def with_database(url: str, name: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


async def _execute(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for sql in statements:
            await connection.execute(sql)
    finally:
        await connection.close()
