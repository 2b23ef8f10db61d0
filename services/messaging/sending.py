"""Sending: one message, many at once, or a stream of them, all through the same command."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import closing
from datetime import datetime

from holdspace.messaging.v1.service_pb2 import (
    SendManyRequest,
    SendManyResponse,
    SendMessageRequest,
    SendMessageResponse,
    SendResult,
    SendStreamRequest,
    SendStreamResponse,
)
from kernel.clock import Clock
from kernel.commands import CommandPath, Handled
from kernel.facts import set_timestamp
from kernel.grpc.call import CallContext, current_call
from kernel.grpc.reads import Reads
from kernel.grpc.streams import Checked, StreamLimits, Window, each
from kernel.ids import Ids
from kernel.requests import call_request
from kernel.routes import Asked
from services.messaging.domain.conversation import Conversation, SendMessage

UNTAKEN_MAX = 128  # of one stream: messages that wait while others are under way


class Sending:
    def __init__(self, path: CommandPath, reads: Reads, clock: Clock, ids: Ids, limits: StreamLimits) -> None:
        self._path = path
        self._reads = reads
        self._clock = clock
        self._ids = ids
        self._limits = limits

    async def one(self, request: SendMessageRequest, call: CallContext) -> SendMessageResponse:
        """Raises what `CommandPath.run` raises."""
        asked = self._asked(request, call, self._clock.now())
        sent = SendMessageResponse()
        handled = await self._path.run(asked.command, asked.request, asked.origin, call.deadline)
        _fill(sent, handled, self._reads.revision(handled.position))
        return sent

    async def many(self, request: SendManyRequest, call: CallContext) -> SendManyResponse:
        """Conversations go side by side, the messages of one in the order given."""
        messages = list(request.messages)  # Each look into a repeated field makes its messages' wrappers anew.
        response = SendManyResponse()
        await self._send(messages, call, response.results.add)
        return response

    async def stream(self, requests: AsyncIterator[SendStreamRequest]) -> AsyncIterator[SendStreamResponse]:
        """Answers as messages commit. What comes while others are under way goes together, in the order sent, and is
        answered together. Reads on only while its answers are taken, and ends at a limit as its caller would: what was
        sent is still answered.
        """
        call = current_call()
        came: Window[Checked[SendStreamRequest]] = Window(UNTAKEN_MAX)

        async def read() -> None:
            with closing(came):
                async for checked in each(requests, self._limits):
                    await came.put(checked)

        reading = asyncio.create_task(read())
        try:
            while taken := await came.take():
                yield await self._response(taken, call)
            await reading
        finally:
            reading.cancel()

    async def _response(self, came: Sequence[Checked[SendStreamRequest]], call: CallContext) -> SendStreamResponse:
        response = SendStreamResponse()
        for checked in came:
            if checked.rejected:
                _answer(response.results.add(), checked.request.message.request_id, checked.rejected, "", call)
        await self._send([each.request.message for each in came if not each.rejected], call, response.results.add)
        return response

    async def _send(
        self, messages: Sequence[SendMessageRequest], call: CallContext, add: Callable[[], SendResult]
    ) -> None:
        """Sends them and adds the result of each."""
        told = await self._told(messages, call)
        revision = self._revision(told)
        for message, one in zip(messages, told, strict=True):
            _answer(add(), message.request_id, one, revision, call)

    async def _told(self, messages: Sequence[SendMessageRequest], call: CallContext) -> Sequence[Handled | Exception]:
        """Returns what became of each, as if it had come by a call of its own."""
        now = self._clock.now()
        return await self._path.run_all([self._asked(message, call, now) for message in messages], call.deadline)

    def _asked(self, request: SendMessageRequest, call: CallContext, now: datetime) -> Asked:
        command = SendMessage(
            sender_id=request.sender_id,
            client_id=request.client_id,
            therapist_id=request.therapist_id,
            message_id=self._ids.new(),
            body=request.body,
            expects=request.expects,
            kind=request.kind,
            automatic=request.automatic,
            now=now,
        )
        # The same message is the same request, whichever method it comes by.
        identity = call_request(call.scope_of(request.sender_id), "SendMessage", request.request_id, request)
        return Asked(command, identity, call.origin_of(request.sender_id, request.request_id))

    def _revision(self, told: Sequence[Handled | Exception]) -> str:
        """Returns one for all that are answered together: who waits for it sees each of them."""
        return self._reads.revision(max([one.position for one in told if isinstance(one, Handled)], default=0))


# Answers are filled in place: a message that a constructor is given is copied.


def _answer(result: SendResult, request_id: str, told: Handled | Exception, revision: str, call: CallContext) -> None:
    result.request_id = request_id
    if isinstance(told, Exception):
        answer = call.answer_to(told)
        error = result.error
        error.code, error.reason, error.field = answer.code.value[0], answer.reason, answer.field
    else:
        _fill(result.sent, told, revision)


def _fill(sent: SendMessageResponse, handled: Handled, revision: str) -> None:
    conversation: Conversation = handled.state
    sent.conversation_id = conversation.conversation_id
    sent.message_id = conversation.last_message_id
    sent.sequence = conversation.last_sequence
    if conversation.last_at:
        set_timestamp(sent.accepted_at, conversation.last_at)
    sent.revision = revision
