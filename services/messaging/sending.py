"""Sending: one message, many at once, or a stream of them, all through the same command."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from functools import partial

from holdspace.messaging.v1.service_pb2 import (
    SendError,
    SendManyRequest,
    SendManyResponse,
    SendMessageRequest,
    SendMessageResponse,
    SendResult,
    SendStreamRequest,
    SendStreamResponse,
)
from kernel.clock import Clock
from kernel.commands import Asked, CommandPath, Handled
from kernel.facts import timestamp
from kernel.freshness import LaneFreshness
from kernel.grpc.call import CallContext
from kernel.grpc.reads import Reads
from kernel.grpc.streams import Checked, each
from kernel.ids import Ids
from kernel.requests import call_request
from services.messaging.domain.conversation import Conversation, SendMessage, conversation_id

UNANSWERED_MAX = 256  # messages of one stream that are under way at the same time


@dataclass(frozen=True, slots=True)
class StreamLimits:
    idle_seconds: float
    age_seconds: float


class Sending:
    def __init__(
        self, path: CommandPath, reads: Reads, lanes: LaneFreshness, clock: Clock, ids: Ids, limits: StreamLimits
    ) -> None:
        self._path = path
        self._reads = reads
        self._lanes = lanes
        self._clock = clock
        self._ids = ids
        self._limits = limits

    async def one(self, request: SendMessageRequest, call: CallContext) -> SendMessageResponse:
        """Raises what `CommandPath.run` raises."""
        asked = await self._asked(request, call)
        return self._sent(await self._path.run(asked.command, asked.request, asked.origin, call.deadline))

    async def many(self, request: SendManyRequest, call: CallContext) -> SendManyResponse:
        """Conversations go side by side, the messages of one in the order given."""
        results: dict[int, SendResult] = {}

        async def in_order(places: Sequence[int]) -> None:
            told = await self._results([request.messages[place] for place in places], call)
            results.update(zip(places, told, strict=True))

        places: dict[str, list[int]] = defaultdict(list)
        for place, message in enumerate(request.messages):
            places[conversation_id(message.client_id, message.therapist_id)].append(place)
        async with asyncio.TaskGroup() as group:
            for of_one in places.values():
                group.create_task(in_order(of_one))
        return SendManyResponse(results=[results[place] for place in range(len(results))])

    async def stream(self, requests: AsyncIterator[SendStreamRequest]) -> AsyncIterator[SendStreamResponse]:
        """Answers as messages commit. Reads on only while the window of unanswered ones has room."""
        answers: asyncio.Queue[SendResult | None] = asyncio.Queue()
        room = asyncio.Semaphore(UNANSWERED_MAX)
        last: dict[str, asyncio.Task[None]] = {}  # by conversation: the message that the next one goes after

        async def send(message: SendMessageRequest, call: CallContext, before: asyncio.Task[None] | None) -> None:
            if before is not None:
                await asyncio.wait([before])
            try:
                answers.put_nowait((await self._results([message], call))[0])
            finally:
                room.release()

        async def read() -> None:
            async with asyncio.TaskGroup() as group:
                async for checked in self._within_limits(requests):
                    message = checked.request.message
                    if checked.rejected is not None:
                        answers.put_nowait(_refused(message.request_id, checked.call, checked.rejected))
                        continue
                    await room.acquire()
                    name = conversation_id(message.client_id, message.therapist_id)
                    task = group.create_task(send(message, checked.call, last.get(name)))
                    last[name] = task
                    task.add_done_callback(partial(_forget, last, name))
            answers.put_nowait(None)

        reading = asyncio.create_task(read())
        reading.add_done_callback(lambda _: answers.put_nowait(None))
        try:
            while (result := await answers.get()) is not None:
                yield SendStreamResponse(result=result)
            await reading
        finally:
            reading.cancel()

    async def _within_limits(
        self, requests: AsyncIterator[SendStreamRequest]
    ) -> AsyncIterator[Checked[SendStreamRequest]]:
        """Ends an idle or old stream as its caller would: what was sent is still answered."""
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + self._limits.age_seconds
        messages = each(requests)
        while True:
            try:
                async with asyncio.timeout_at(min(ends_at, loop.time() + self._limits.idle_seconds)):
                    checked = await anext(messages)
            except (TimeoutError, StopAsyncIteration):
                return
            yield checked

    async def _asked(self, request: SendMessageRequest, call: CallContext) -> Asked:
        """Raises Rejected GATE_STALE when a fact about one of the two is parked."""
        await self._lanes.check(request.client_id, request.therapist_id)
        command = SendMessage(
            sender_id=request.sender_id,
            client_id=request.client_id,
            therapist_id=request.therapist_id,
            message_id=self._ids.new(),
            body=request.body,
            expects=request.expects,
            kind=request.kind,
            automatic=request.automatic,
            gates_fresh=await self._lanes.is_fresh(),
            now=self._clock.now(),
        )
        # The same message is the same request, whichever method it comes by.
        identity = call_request(call.caller.subject, "SendMessage", request.request_id, request)
        return Asked(command, identity, call.of(request.sender_id, request.request_id).origin)

    def _sent(self, handled: Handled) -> SendMessageResponse:
        conversation: Conversation = handled.state
        return SendMessageResponse(
            conversation_id=conversation.conversation_id,
            message_id=conversation.last_message_id,
            sequence=conversation.last_sequence,
            accepted_at=timestamp(conversation.last_at) if conversation.last_at else None,
            revision=self._reads.revision(handled.position),
        )

    async def _results(self, messages: Sequence[SendMessageRequest], call: CallContext) -> Sequence[SendResult]:
        """Takes messages of one conversation. Each is answered like a call of its own."""
        try:
            asked = [await self._asked(message, call) for message in messages]
            told = await self._path.run_in_order(asked, call.deadline)
        except Exception as error:
            told = [error] * len(messages)
        return [self._result(message, outcome, call) for message, outcome in zip(messages, told, strict=True)]

    def _result(self, message: SendMessageRequest, told: Handled | Exception, call: CallContext) -> SendResult:
        if isinstance(told, Exception):
            return _refused(message.request_id, call, told)
        return SendResult(request_id=message.request_id, sent=self._sent(told))


def _forget(last: dict[str, asyncio.Task[None]], name: str, done: asyncio.Task[None]) -> None:
    if last.get(name) is done:
        del last[name]


def _refused(request_id: str, call: CallContext, error: Exception) -> SendResult:
    answer = call.answer_to(error)
    told = SendError(code=answer.code.value[0], reason=answer.reason, field=answer.field)
    return SendResult(request_id=request_id, error=told)
