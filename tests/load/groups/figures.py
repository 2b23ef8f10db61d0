"""P13: response figures over gRPC, of one therapist and of all of them, at different numbers of waits."""

import hashlib
import itertools
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import Any

from holdspace.messaging.v1.events_pb2 import SIDE_CLIENT, SIDE_THERAPIST
from holdspace.response_sla.v1 import private_pb2 as facts
from holdspace.response_sla.v1.service_pb2 import GetFiguresRequest, ListFiguresRequest
from holdspace.response_sla.v1.service_pb2_grpc import ResponseSlaServiceStub
from infra.database import prepare
from kernel.facts import Origin, timestamp
from kernel.read_model import create, create_indexes
from kernel.rebuild import build, reader
from services.response_sla.domain.wait import Answered, Parties, Wait, differences
from services.response_sla.wiring import RESPONSE_SLA
from tests.load import history
from tests.load.load import for_a_while
from tests.load.measuring import Cell, Figure, Goal, Group, Options, Reading
from tests.load.stack import Stack
from tests.running import ServiceProcess

WAITS_EACH = 1_000  # of one therapist, in a year
WAITS_OF_A_CONVERSATION = 10
YEAR = timedelta(days=365)
FACTS_OF_A_WAIT = 4
NUMBERS = (10_000, 100_000)
ONE_AT = MIDDLE = 100_000
THERAPISTS_AT_ONCE = 100
RIGHTS = ("response_sla.read", "response_sla.read_all")

ONE = f"GetFigures of a therapist over a year, {ONE_AT:,} waits in the store, one call after another"


def of_all(waits: int) -> str:
    return f"digest over ListFigures of all therapists, {waits:,} waits"


def waits(count: int) -> Iterator[history.Row]:
    """Yields the facts of so many answered waits: the client's message, the wait, the answer, the wait's end."""
    chance = random.Random(count)
    versions: dict[str, int] = {}
    position = 0
    for number in range(count):
        therapist, place = divmod(number, WAITS_EACH)
        name = f"{therapist}-{place // WAITS_OF_A_CONVERSATION}"
        parties = Parties(history.digest(name).hex()[:32], f"client-{name}", f"therapist-{therapist:06}")
        stream = f"conversation-{parties.conversation_id}"
        opened_at = history.BEGAN + place * YEAR / WAITS_EACH
        answered_at = opened_at + timedelta(minutes=chance.randrange(1, 2_880))
        sequence = 1 + 2 * (place % WAITS_OF_A_CONVERSATION)
        kind = facts.RESPONSE_KIND_FIRST if sequence == 1 else facts.RESPONSE_KIND_NEXT
        wait = Wait(sequence, kind, opened_at, Answered(answered_at, sequence + 1))
        opened, answered = differences(parties, None, wait)
        for fact, at in (
            (noted(parties, sequence, SIDE_CLIENT, opened_at), opened_at),
            (opened, opened_at),
            (noted(parties, sequence + 1, SIDE_THERAPIST, answered_at), answered_at),
            (answered, answered_at),
        ):
            position += 1
            versions[stream] = versions.get(stream, 0) + 1
            fact_id = history.digest(f"fact {position}").hex()[:32]
            sealed = RESPONSE_SLA.own_facts.seal(fact, fact_id, at, Origin("response_sla"))
            yield position, stream, versions[stream], history.BEGAN + timedelta(seconds=position), sealed


def noted(parties: Parties, sequence: int, sender: Any, at: Any) -> facts.MessageNoted:
    return facts.MessageNoted(
        conversation_id=parties.conversation_id,
        client_id=parties.client_id,
        therapist_id=parties.therapist_id,
        sequence=sequence,
        sender=sender,
        expects_reply=sender == SIDE_CLIENT,
        sent_at=timestamp(at),
        source_fact_id=history.digest(f"{parties.conversation_id} {sequence}").hex()[:32],
    )


async def project(database_url: str, count: int) -> None:
    """Builds the rows of all facts, as a rebuild does."""
    rows = await reader(database_url, "response_sla", "response_sla_read")
    stored = await reader(database_url, "response_sla", "response_sla")
    await rows.execute("drop schema if exists response_sla_read cascade; create schema response_sla_read")
    await create(rows, "response_sla", RESPONSE_SLA.read_model, "response_sla_read", with_indexes=False)
    await build(rows, stored, RESPONSE_SLA.read_model, RESPONSE_SLA.own_facts, 0, count * FACTS_OF_A_WAIT)
    await create_indexes(rows, RESPONSE_SLA.read_model)
    await rows.execute("vacuum analyze response_sla_read.waits", timeout=600)
    await rows.close()
    await stored.close()


def one(stub: Any, count: int) -> Callable[[], Awaitable[Reading]]:
    number = itertools.count()

    async def ask() -> None:
        therapist = f"therapist-{next(number) % (count // WAITS_EACH):06}"
        began = history.BEGAN
        told = await stub.GetFigures(
            GetFiguresRequest(
                therapist_id=therapist,
                opened_from=timestamp(began),
                opened_before=timestamp(began + YEAR),
                as_of=timestamp(began + 2 * YEAR),
            )
        )
        assert told.all.count == WAITS_EACH, told

    return lambda: for_a_while([ask], 5)


def everyone(stub: Any, count: int) -> Callable[[], Awaitable[Reading]]:
    async def measure() -> Reading:
        began, digest, therapists = time.perf_counter(), hashlib.sha256(), 0
        asked = ListFiguresRequest(page_size=THERAPISTS_AT_ONCE, as_of=timestamp(history.BEGAN + 2 * YEAR))
        while True:
            told = await stub.ListFigures(asked, timeout=60)
            therapists += len(told.therapists)
            for each in told.therapists:
                digest.update(each.SerializeToString(deterministic=True))
            if not told.next_page_token:
                break
            asked.page_token = told.next_page_token
        assert therapists == count // WAITS_EACH
        return {"waits_per_second": count / (time.perf_counter() - began)}

    return measure


@asynccontextmanager
async def open_cells(stack: Stack, options: Options) -> AsyncIterator[Sequence[Cell]]:
    async with AsyncExitStack() as opened:
        cells = []
        for count in NUMBERS:
            url = await opened.enter_async_context(stack.database("response_sla"))
            await prepare(url)
            await history.fill(url, "response_sla", waits(count))
            await project(url, count)
            process = ServiceProcess(
                "response_sla", stack.servers, url, stack.credentials, stack.folder, roles=("api",)
            )
            opened.callback(process.stop)
            process.start()
            stub = ResponseSlaServiceStub(await opened.enter_async_context(process.channel(*RIGHTS)))
            if count == ONE_AT:
                cells.append(Cell(ONE, one(stub, count)))
            cells.append(Cell(of_all(count), everyone(stub, count)))
        yield cells


def _linear(count: int) -> Goal:
    few, many = (Figure(of_all(number), "waits_per_second") for number in (NUMBERS[0], count))
    return Goal("P13", f"{many.cell}: waits a second, of those of {NUMBERS[0]:,}", many, few, least=0.8)


GROUP = Group(
    "Figures",
    [
        Goal("P13", f"{ONE}: p99 in ms", Figure(ONE, "p99_ms"), most=20),
        Goal("P13", f"{ONE}: p50 in ms", Figure(ONE, "p50_ms")),
        *(_linear(count) for count in NUMBERS[1:]),
        Goal("P13", f"{of_all(MIDDLE)}: waits a second", Figure(of_all(MIDDLE), "waits_per_second")),
    ],
    open_cells,
)
