"""Calls of our services' APIs: repeated while what stands in the way may pass, then told in one line."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import grpc
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from infra.cli.errors import CommandError
from kernel.backoff import backoff_seconds
from kernel.grpc.client import channel, reason_of
from kernel.grpc.interceptor import STATUS_DETAILS

CONNECT_SECONDS = 5.0
CALL_SECONDS = 60.0
ATTEMPTS_MAX = 12  # half a minute of pauses: a restart, or a failover of the database
RETRY_SECONDS_MAX = 30.0

PASSING = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.ABORTED,
)
NOT_ALLOWED = (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED)

A = TypeVar("A")


@asynccontextmanager
async def calling(service: str, target: str, token: str) -> AsyncIterator[grpc.aio.Channel]:
    """Opens a channel once the service answers. What a call in the block raises becomes a CommandError."""
    async with channel(target, token, deadline_seconds=CALL_SECONDS) as opened:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await opened.channel_ready()
        except TimeoutError:
            raise CommandError(f"{service} does not answer at {target}") from None
        try:
            yield opened
        except grpc.aio.AioRpcError as error:
            raise CommandError(f"{service} at {target} answered {told(error)}") from error


async def insist(call: Callable[[], Awaitable[A]]) -> A:
    """Returns what the call answers. One that may be answered otherwise later is made again, a bounded number of times.

    The request must be the same each time, its request id included. Raises the last AioRpcError.
    """
    for attempt in range(ATTEMPTS_MAX):
        try:
            return await call()
        except grpc.aio.AioRpcError as error:
            if error.code() not in PASSING or attempt == ATTEMPTS_MAX - 1:
                raise
            pause = max(retry_seconds(error), backoff_seconds(attempt, random.random))
            await asyncio.sleep(pause)
    raise AssertionError("the last attempt returns or raises")


def retry_seconds(error: grpc.aio.AioRpcError) -> float:
    """Returns when the service asks to be called again (google.rpc.RetryInfo), 0 when it does not say."""
    for key, value in error.trailing_metadata() or ():
        if key == STATUS_DETAILS and isinstance(value, bytes):
            info = RetryInfo()
            for detail in Status.FromString(value).details:
                if detail.Unpack(info):
                    return float(min(info.retry_delay.ToTimedelta().total_seconds(), RETRY_SECONDS_MAX))
    return 0.0


def told(error: grpc.aio.AioRpcError) -> str:
    """Returns status, reason and field, and for a refused token what to do about it."""
    reason, field = reason_of(error)
    words = [error.code().name, reason or (error.details() or "").split("\n", 1)[0], field]
    line = " ".join(word for word in words if word)
    return f"{line}: check HOLDSPACE_TOKEN" if error.code() in NOT_ALLOWED else line
