"""What happens to every call before and after its handler.

In order: is the server stopping, is there a deadline, who calls, have they the right, is the request well formed, may
they act for that person. Then the handler runs; whatever it raises is answered with a status and a reason, and counted.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, suppress
from functools import partial
from time import perf_counter
from typing import Any

import grpc
from google.protobuf.message import DecodeError, Message
from structlog.contextvars import bind_contextvars

from kernel.errors import Rejected
from kernel.grpc.access import Method, acting_person, check_right
from kernel.grpc.auth import Authenticator, Caller
from kernel.grpc.call import CallContext, current, traceparent_of
from kernel.grpc.draining import Draining
from kernel.grpc.errors import Answer, Reasons
from kernel.grpc.streams import Checked, Requests
from kernel.ids import Ids
from kernel.metrics import Metrics

FIRST_REQUEST_SECONDS = 0.5
STATUS_DETAILS = "grpc-status-details-bin"

# The types of a handler and its context differ for every method; nothing here depends on them.
Handler = Any
Context = Any

# By whether requests and responses are streams.
MAKERS: dict[tuple[bool, bool], Callable[..., Handler]] = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}


class Interceptor(grpc.aio.ServerInterceptor):
    """Wraps every handler whose path is in `methods`, and leaves the others, which anyone may call, as they are."""

    def __init__(
        self,
        methods: Mapping[str, Method],
        reasons: Reasons,
        authenticator: Authenticator,
        metrics: Metrics,
        ids: Ids,
        draining: Draining,
        check: Callable[[], None],
    ) -> None:
        """`check` raises what keeps this process from answering anything, before a token is looked at."""
        self._methods = methods
        self._reasons = reasons
        self._authenticator = authenticator
        self._metrics = metrics
        self._ids = ids
        self._draining = draining
        self._check = check
        self._wrapped: dict[str, Handler] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        path = handler_call_details.method
        method = self._methods.get(path)
        if method is None:
            return await continuation(handler_call_details)
        if path not in self._wrapped:
            self._wrapped[path] = self._wrap(method, await continuation(handler_call_details))
        return self._wrapped[path]

    def _wrap(self, method: Method, handler: Handler) -> Handler:
        run = handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
        give = _give_many if handler.response_streaming else _give_one

        async def serve(came: Any, context: Context) -> Any:  # noqa: ANN401 - as the method has it
            def of_one(call: CallContext) -> Awaitable[Message | None]:
                return give(run(self._take_one(method, handler, came, call), context), context)

            async def of_many(call: CallContext) -> Message | None:
                requests = self._take_many(method, handler, came, call)
                answer = await give(run(requests, context), context)
                if requests.is_cut:
                    raise Rejected("DRAINING")
                return answer

            return await self._answer(
                method, context, handler.request_streaming, of_many if handler.request_streaming else of_one
            )

        # Requests come as bytes: nothing is decoded for a caller who may not call.
        make = MAKERS[handler.request_streaming, handler.response_streaming]
        return make(serve, request_deserializer=None, response_serializer=handler.response_serializer)

    async def _answer(
        self,
        method: Method,
        context: Context,
        request_streaming: bool,
        handle: Callable[[CallContext], Awaitable[Message | None]],
    ) -> Message | None:
        """Admits the call; answers and counts what is raised. Handlers raise, and never abort the context."""
        began = perf_counter()
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - gRPC runs each call in one
        code, reason, is_admitted = grpc.StatusCode.OK, "", False
        metadata = dict(context.invocation_metadata())
        traceparent = traceparent_of(metadata, self._ids)
        bind_contextvars(method=f"{method.service}/{method.name}", trace_id=traceparent[3:35])
        try:
            if self._draining.is_on:
                raise await self._draining.turn_away(context.time_remaining())
            self._draining.add(task)
            admitted = await self._admit(method, metadata, traceparent, context.time_remaining())
            is_admitted = True
            return await handle(admitted)
        except asyncio.CancelledError:
            if not self._draining.was_cut(task):  # The caller has gone away, or no longer waits.
                is_late = context.time_remaining() == 0
                code = grpc.StatusCode.DEADLINE_EXCEEDED if is_late else grpc.StatusCode.CANCELLED
                raise
            answer = self._reasons.answer(Rejected("DRAINING"), method.service, traceparent[3:35])
            code, reason = answer.code, answer.reason
        except Exception as error:
            answer = self._reasons.answer(error, method.service, traceparent[3:35])
            code, reason = answer.code, answer.reason
        finally:
            self._draining.discard(task)
            self._metrics.called(method.service, method.name, code.name, reason, perf_counter() - began)
        if request_streaming and not is_admitted:
            await _hear_first(context)
        details = ((STATUS_DETAILS, answer.status().SerializeToString()),)
        return await context.abort(answer.code, answer.message, details)  # type: ignore[no-any-return]  # it raises

    async def _admit(
        self, method: Method, metadata: Mapping[str, str], traceparent: str, remaining: float | None
    ) -> CallContext:
        """Returns the call, in nobody's name yet. `remaining`: seconds until its deadline. Raises Rejected."""
        self._check()
        if remaining is None:
            raise Rejected("DEADLINE_MISSING")
        deadline = asyncio.get_running_loop().time() + remaining
        caller: Caller = await self._authenticator.caller(metadata.get("authorization", ""))
        check_right(method, caller)
        answer_to = partial(self._answer_within, method, traceparent[3:35])
        return CallContext(caller, "", method.service, method.name, "", traceparent, deadline, answer_to)

    def _answer_within(self, method: Method, trace_id: str, error: Exception) -> Answer:
        answer = self._reasons.answer(error, method.service, trace_id)
        self._metrics.refused_in_stream(method.service, method.name, answer.code.name, answer.reason)
        return answer

    def _take_one(self, method: Method, handler: Handler, came: bytes, call: CallContext) -> Message:
        checked = _checked(method, _decoded(handler, came), call)
        if checked.rejected is not None:
            raise checked.rejected
        current.set(checked.call)
        if checked.request_id:
            bind_contextvars(request_id=checked.request_id)
        return checked.request

    def _take_many(
        self, method: Method, handler: Handler, came: AsyncIterator[bytes], call: CallContext
    ) -> Requests[Message]:
        current.set(call)
        messages = aiter(came)
        return Requests(messages, self._draining, lambda one: _checked(method, _decoded(handler, one), call))


def _decoded(handler: Handler, came: bytes) -> Message:
    try:
        request: Message = handler.request_deserializer(came)
    except DecodeError:
        raise Rejected("FIELD_MALFORMED") from None
    return request


def _checked(method: Method, request: Message, call: CallContext) -> Checked[Message]:
    """Returns the request with the call it makes, rejected when it is malformed or may not act for its person."""
    request_id: str = getattr(request, "request_id", "") if method.is_mutation else ""
    try:
        method.check(request)
        person = acting_person(method, call.caller, request)
    except Rejected as rejected:
        return Checked(request, "", request_id, call, rejected)
    return Checked(request, person, request_id, call, None)


async def _hear_first(context: Context) -> None:
    """Takes the first request of a stream that is refused. A grpc.aio client whose write meets the end of its call
    reports INTERNAL in place of the refusal.
    """
    with suppress(TimeoutError):
        async with asyncio.timeout(FIRST_REQUEST_SECONDS):
            await context.read()


def _give_one(response: Awaitable[Message], _: Context) -> Awaitable[Message]:
    return response


async def _give_many(responses: Any, context: Context) -> None:  # noqa: ANN401 - an async generator of the responses
    async with aclosing(responses):  # So that its clean-up runs now when the caller goes away.
        async for response in responses:
            await context.write(response)
