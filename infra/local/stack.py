"""The whole platform on one machine: servers, database, topics, keys, services, in that order."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import asyncpg

from infra import database, topics
from infra.local import keys, servers, services
from infra.local.servers import Servers
from infra.local.stack_error import StackError

LOCAL_PARTITIONS = 4
LOCAL_REPLICATION = 1


def up(data: Path, say: Callable[[str], None], *, servers_only: bool = False) -> Servers:
    """Have everything running and ready and return where the servers answer; whatever runs already is kept.

    `servers_only` stops before the services. Blocks: call it from a thread in asynchronous code. Raises StackError when
    something a person must put right is in the way.
    """
    keys.require_local()
    where = servers.up(data, say)
    try:
        asyncio.run(database.prepare(where.database_url))
        applied = topics.apply(where.kafka, topics.load(), replication=LOCAL_REPLICATION, partitions=LOCAL_PARTITIONS)
    except asyncpg.PostgresError as error:
        raise StackError(f"The database could not be prepared: {error}") from error
    except topics.TopicsError as error:
        raise StackError(f"The topics could not be provisioned: {error}") from error
    if applied:
        say(f"topics provisioned: {len(applied.create)} created, {len(applied.change)} changed")
    keys.create(data)
    if not servers_only:
        services.up(data, say)
    return where
