"""P5: what calls of messaging's API cost: one message, a stream of them, many at once, beside calls that do nothing.

The service is a process of its own in the role `api`, as it is deployed; the load comes from the process of the bench.
"""

import asyncio
import itertools
import random
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from holdspace.messaging.v1.events_pb2 import EXPECTATION_REPLY, MESSAGE_KIND_TEXT, SIDE_CLIENT
from holdspace.messaging.v1.service_pb2 import (
    ImportLine,
    ImportMessagesRequest,
    SendManyRequest,
    SendMessageRequest,
    SendResult,
    SendStreamRequest,
)
from holdspace.messaging.v1.service_pb2_grpc import MessagingServiceStub
from kernel.store.interface import Attachment
from kernel.store.postgres import PostgresStore
from tests.load import pgbench
from tests.load.groups.append import Uncounted, an_append
from tests.load.load import Work, for_a_while
from tests.load.measuring import Cell, Figure, Goal, Group, Options, Reading
from tests.load.stack import Stack
from tests.running import ServiceProcess

RIGHTS = ("messaging.send", "messaging.import")
PAIRS = 5_000
LINES_AT_ONCE = 1_000
BODY = secrets.token_bytes(200)
FACT = secrets.token_bytes(pgbench.FACT_BYTES)
CALLERS = 64
STREAMS = 4
UNANSWERED = 128  # of one stream
MANY = 50
MANY_CALLERS = 8  # enough to keep the service busy, as CALLERS are with single messages; with 4 it waited at times

BARE_ECHO = f"echo on a bare grpc.aio server, {CALLERS} callers"
ECHO = f"echo on the kernel's server, {CALLERS} callers"
UNARY = f"SendMessage, {CALLERS} callers"
STREAM = f"SendStream, {STREAMS} streams of {UNANSWERED} unanswered"
SEND_MANY = f"SendMany of {MANY} conversations, {MANY_CALLERS} callers"
SEND_MANY_TO_ONE = f"SendMany of {MANY} to one conversation, {MANY_CALLERS} callers"
STORE = f"the appends of SendMany to one conversation by the store alone, {MANY_CALLERS} callers"

Pair = tuple[str, str]


def pairs() -> list[Pair]:
    return [(f"client-{secrets.token_hex(8)}", f"therapist-{secrets.token_hex(8)}") for _ in range(PAIRS)]


def message(pair: Pair) -> SendMessageRequest:
    client, therapist = pair
    return SendMessageRequest(
        request_id=secrets.token_hex(16),
        sender_id=client,
        client_id=client,
        therapist_id=therapist,
        body=BODY,
        expects=EXPECTATION_REPLY,
        kind=MESSAGE_KIND_TEXT,
    )


async def acquaint(stub: Any, known: Sequence[Pair]) -> None:
    """Lets every pair have a conversation, and the service know each: a first message reads what later ones do not."""
    for start in range(0, len(known), LINES_AT_ONCE):
        lines = [
            ImportLine(
                line=number,
                sender_id=client,
                recipient_id=therapist,
                sent_at=Timestamp(seconds=1_700_000_000),
                sender=SIDE_CLIENT,
            )
            for number, (client, therapist) in enumerate(known[start : start + LINES_AT_ONCE], start + 1)
        ]
        asked = ImportMessagesRequest(
            request_id=secrets.token_hex(16), source="bench", operator_id="operator", lines=lines
        )
        assert (await stub.ImportMessages(asked, timeout=60)).imported == len(lines)
    for start in range(0, len(known), 500):
        await send_many(stub, known[start : start + 500])


async def send_many(stub: Any, to: Sequence[Pair]) -> None:
    asked = SendManyRequest(request_id=secrets.token_hex(16), messages=[message(pair) for pair in to])
    for result in (await stub.SendMany(asked, timeout=60)).results:
        must_be_sent(result)


def must_be_sent(result: SendResult) -> None:
    if not result.HasField("sent"):
        raise AssertionError(f"refused: {result.error.reason}")


def unary(stub: Any, known: Sequence[Pair]) -> Callable[[], Awaitable[Reading]]:
    async def send() -> None:
        await stub.SendMessage(message(random.choice(known)))

    return lambda: for_a_while([send] * CALLERS)


def many(stub: Any, choose: Callable[[], Sequence[Pair]]) -> Callable[[], Awaitable[Reading]]:
    return by_many([lambda: send_many(stub, choose())] * MANY_CALLERS)


def by_many(workers: Sequence[Work]) -> Callable[[], Awaitable[Reading]]:
    """Messages per second; times are those of calls."""

    async def measure() -> Reading:
        reading = dict(await for_a_while(workers))
        reading["per_second"] *= MANY
        return reading

    return measure


class Stream:
    """One SendStream, whose messages are waited for one by one."""

    def __init__(self, stub: Any) -> None:
        self._outgoing: asyncio.Queue[SendMessageRequest | None] = asyncio.Queue()
        self._answers: dict[str, asyncio.Future[None]] = {}
        self._reading = asyncio.create_task(self._read(stub.SendStream(self._requests(), timeout=60)))

    async def send(self, to: Pair) -> None:
        asked = message(to)
        answer = self._answers[asked.request_id] = asyncio.get_running_loop().create_future()
        self._outgoing.put_nowait(asked)
        await answer

    async def _requests(self) -> AsyncIterator[SendStreamRequest]:
        while (asked := await self._outgoing.get()) is not None:
            yield SendStreamRequest(message=asked)

    async def _read(self, call: Any) -> None:
        async for response in call:
            for result in response.results:
                must_be_sent(result)
                self._answers.pop(result.request_id).set_result(None)

    async def close(self) -> None:
        self._outgoing.put_nowait(None)
        await self._reading


def streaming(stub: Any, known: Sequence[Pair]) -> Callable[[], Awaitable[Reading]]:
    async def measure() -> Reading:
        streams = [Stream(stub) for _ in range(STREAMS)]
        workers = [lambda stream=stream: stream.send(random.choice(known)) for stream in streams] * UNANSWERED
        reading = await for_a_while(workers)
        for stream in streams:
            await stream.close()
        return reading

    return measure


class Appending:
    """What SendMany to one conversation appends, with nobody who asks, decides or is answered over a network."""

    def __init__(self, store: PostgresStore) -> None:
        self._store = store
        self._stream = f"conversation-{secrets.token_hex(16)}"
        self._version = 0
        self._gates = {f"{gate}-{secrets.token_hex(16)}": 0 for gate in ("client", "therapist", "enrolment")}

    async def send(self) -> None:
        appends = [
            an_append(FACT)._replace(
                stream=self._stream,
                expected_version=self._version + number,
                depends_on=self._gates,
                attachments=[Attachment(secrets.token_hex(16), BODY)],
            )
            for number in range(MANY)
        ]
        assert all(await self._store.append_all(appends))
        self._version += MANY


@contextmanager
def process(stack: Stack, database_url: str, name: str, **more: Any) -> Iterator[ServiceProcess]:
    started = ServiceProcess(name, stack.servers, database_url, stack.credentials, stack.folder, roles=("api",), **more)
    try:
        yield started.start()
    finally:
        started.stop()


@asynccontextmanager
async def open_cells(stack: Stack, options: Options) -> AsyncIterator[Sequence[Cell]]:
    async with AsyncExitStack() as opened:
        database_url = await opened.enter_async_context(stack.database("messaging"))
        await pgbench.create_table(database_url)

        async def stub(name: str, **more: Any) -> Any:
            started = opened.enter_context(process(stack, database_url, name, **more))
            return MessagingServiceStub(await opened.enter_async_context(started.channel(*RIGHTS)))

        bare = await stub("echo", package="tests.load", more={"HOLDSPACE_BARE": "true"})
        echo = await stub("echo", package="tests.load")
        messaging = await stub("messaging")
        # Of its own, so that the service's does not grow with it.
        store_url = await opened.enter_async_context(stack.database("messaging"))
        store = PostgresStore(store_url, "messaging", Uncounted())
        await store.open()
        opened.push_async_callback(store.close)
        known = pairs()
        await acquaint(messaging, known)
        one_of = itertools.cycle(known)
        yield [
            pgbench.one_row(database_url, stack.folder),
            Cell(BARE_ECHO, unary(bare, known)),
            Cell(ECHO, unary(echo, known)),
            Cell(UNARY, unary(messaging, known)),
            Cell(STREAM, streaming(messaging, known)),
            Cell(SEND_MANY, many(messaging, lambda: random.sample(known, MANY))),
            Cell(SEND_MANY_TO_ONE, many(messaging, lambda: [next(one_of)] * MANY)),
            Cell(STORE, by_many([Appending(store).send for _ in range(MANY_CALLERS)])),
        ]


def _rate(cell: str, reference: str, least: float | None = None) -> Goal:
    return Goal(
        "P5", f"{cell}, of {reference}", Figure(cell, "per_second"), Figure(reference, "per_second"), least=least
    )


GROUP = Group(
    "Calls",
    [
        _rate(UNARY, ECHO, 0.9),
        _rate(STREAM, UNARY, 3),
        _rate(SEND_MANY, UNARY, 10),
        _rate(SEND_MANY_TO_ONE, UNARY, 10),
        _rate(ECHO, BARE_ECHO),
        _rate(UNARY, pgbench.ONE_ROW),
        _rate(SEND_MANY, pgbench.ONE_ROW),
        _rate(SEND_MANY_TO_ONE, STORE),
        _rate(STORE, ECHO),
    ],
    open_cells,
)
