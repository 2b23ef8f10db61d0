"""What tests of APIs share."""

import secrets
from collections.abc import Awaitable
from typing import Any

import asyncpg
import grpc
import pytest

from kernel.facts import open_envelope
from kernel.grpc.client import reason_of


def fresh() -> str:
    """Returns an id nobody has used."""
    return secrets.token_hex(8)


async def refused(call: Awaitable[Any]) -> tuple[str, str, str]:
    """Returns status, reason and field of a call that must fail."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return (caught.value.code().name, *reason_of(caught.value))


async def answered(call: Awaitable[Any]) -> Any:
    """Returns a call's answer, or as `refused` when it is refused. Any other failure is raised."""
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        return (error.code().name, *reason_of(error))


async def count_facts(database_url: str, service: str) -> int:
    """Returns how many facts of a service's store came from calls. What it does by itself goes on meanwhile."""
    connection = await asyncpg.connect(database_url, server_settings={"role": f"{service}_api"})
    try:
        rows = await connection.fetch(f"select fact from {service}.facts")
        return sum(open_envelope(row["fact"]).actor.service != service for row in rows)
    finally:
        await connection.close()
