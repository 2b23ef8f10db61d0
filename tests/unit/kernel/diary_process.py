"""The diary as a process of its own: its api under the supervisor of every service."""

import asyncio
import os
from collections.abc import AsyncIterator, Collection, Sequence

from google.protobuf.message import Message

from kernel.clock import ManualClock
from kernel.grpc.server import Server
from kernel.ids import RandomIds
from kernel.metrics import Metrics
from kernel.process import Role, main
from kernel.settings import ServiceSettings
from tests.unit.kernel.diary import NOW, Diary, diary_pb2, diary_pb2_grpc


class SlowDiary(Diary):
    """Every entry takes the milliseconds that its text says."""

    async def Write(self, request: Message, _: object) -> Message:  # noqa: N802 - gRPC's name
        await asyncio.sleep(int(request.text) / 1_000)
        return diary_pb2.WriteResponse(text=request.text)

    async def Follow(self, request: Message, _: object) -> AsyncIterator[Message]:  # noqa: N802 - gRPC's name
        for number in range(request.count):
            yield diary_pb2.WriteResponse(text=str(number))
            await asyncio.sleep(0.01)


async def wire(settings: ServiceSettings, metrics: Metrics, _: Collection[str]) -> Sequence[Role]:
    service = (diary_pb2_grpc.add_DiaryServiceServicer_to_server, SlowDiary())

    async def reach() -> None:
        """There is no store."""

    return [Server([service], settings, metrics, clock=ManualClock(NOW), ids=RandomIds(), reach_store=reach)]


if __name__ == "__main__":
    assert "HOLDSPACE_GRPC_PORT" in os.environ
    main("diary", ServiceSettings, wire)
