"""What tests of APIs share."""

import secrets
from collections.abc import Awaitable
from typing import Any

import asyncpg
import grpc
import pytest

from kernel.grpc.client import reason_of


def fresh() -> str:
    """Returns an id nobody has used."""
    return secrets.token_hex(8)


async def refused(call: Awaitable[Any]) -> tuple[str, str, str]:
    """Returns status, reason and field of a call that must fail."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return (caught.value.code().name, *reason_of(caught.value))


async def count_facts(database_url: str, service: str) -> int:
    """Returns how many facts a service's store holds."""
    connection = await asyncpg.connect(database_url, server_settings={"role": f"{service}_api"})
    try:
        return int(await connection.fetchval(f"select count(*) from {service}.facts"))
    finally:
        await connection.close()
