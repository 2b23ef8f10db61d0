"""A channel for callers of our services: it carries a token, and gives every call a deadline.

Nothing is repeated but what gRPC knows no server has begun, as when a connection reaches its age.
"""

from functools import partial
from types import TracebackType
from typing import Any, Self

import grpc
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from kernel.grpc.interceptor import STATUS_DETAILS

DEADLINE_SECONDS = 5.0


class _Channel(grpc.aio.Channel):
    """Makes the calls of another channel with metadata and a timeout. Either can be given to a call instead."""

    def __init__(self, channel: grpc.aio.Channel, **defaults: Any) -> None:  # noqa: ANN401 - arguments of a call
        self._channel = channel
        self._defaults = defaults

    def unary_unary(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as the channel takes and returns it
        return partial(self._channel.unary_unary(*args, **kwargs), **self._defaults)

    def unary_stream(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as above
        return partial(self._channel.unary_stream(*args, **kwargs), **self._defaults)

    def stream_unary(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as above
        return partial(self._channel.stream_unary(*args, **kwargs), **self._defaults)

    def stream_stream(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as above
        return partial(self._channel.stream_stream(*args, **kwargs), **self._defaults)

    async def close(self, grace: float | None = None) -> None:
        await self._channel.close(grace)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        return self._channel.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        await self._channel.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        await self._channel.channel_ready()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


def channel(target: str, token: str, *, deadline_seconds: float = DEADLINE_SECONDS) -> grpc.aio.Channel:
    """Takes host:port and a JWT. A call can be given its own `timeout`, or `metadata`, which replaces the token."""
    return _Channel(
        grpc.aio.insecure_channel(target), metadata=(("authorization", f"Bearer {token}"),), timeout=deadline_seconds
    )


def reason_of(error: grpc.aio.AioRpcError) -> tuple[str, str]:
    """Returns the reason and the request field at fault; both empty when no service of ours answered."""
    for key, value in error.trailing_metadata() or ():
        if key == STATUS_DETAILS and isinstance(value, bytes):
            for detail in Status.FromString(value).details:
                info = ErrorInfo()
                if detail.Unpack(info):
                    return info.reason, info.metadata.get("field", "")
    return "", ""
