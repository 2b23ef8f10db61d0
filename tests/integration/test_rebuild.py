"""Messaging's read model is built again beside the live one, is equal to it, and takes its place while facts arrive."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest
from google.protobuf.message import Message

from holdspace.kernel.v1.gate_pb2 import GateCopied
from holdspace.messaging.v1.events_pb2 import (
    EXPECTATION_REPLY,
    MESSAGE_KIND_TEXT,
    SIDE_CLIENT,
    SIDE_THERAPIST,
    Body,
    ConversationOpened,
    MessageSent,
    MessagesWithheld,
    StandingDecision,
)
from infra.database import prepare
from kernel.background import Projecting
from kernel.facts import Origin
from kernel.read_model import digest, project
from kernel.rebuild import DigestsDiffer, Rebuilt, ensure, reader, rebuild
from kernel.store.interface import Append, Outcome, Request
from kernel.store.postgres import PostgresStore
from services.messaging.projections import READ_MODEL
from services.messaging.wiring import MESSAGING
from tests.integration.test_own_reactions import Counted

TYPES = MESSAGING.own_facts
BEGAN = datetime(2026, 3, 2, 9, tzinfo=UTC)
MESSAGES_EACH = 9


def conversation(number: int) -> list[Message]:
    """A conversation with its messages, the last of which was withheld."""
    pair = {"conversation_id": f"c{number}", "client_id": f"client-{number % 50}", "therapist_id": f"t-{number % 7}"}
    messages = [
        MessageSent(
            sequence=sequence,
            message_id=f"m{number}-{sequence}",
            sender=SIDE_THERAPIST if sequence % 3 == 0 else SIDE_CLIENT,
            expects=EXPECTATION_REPLY,
            kind=MESSAGE_KIND_TEXT,
            body=Body(attachment_id=f"m{number}-{sequence}", size=sequence, sha256=bytes([sequence]) * 32),
            **pair,
        )
        for sequence in range(1, MESSAGES_EACH + 1)
    ]
    measure = StandingDecision(person_id=pair["therapist_id"])
    withheld = MessagesWithheld(sequences=[MESSAGES_EACH], measure=measure, **pair)
    return [ConversationOpened(**pair), *messages, withheld]


async def write(store: PostgresStore, numbers: range) -> None:
    """Appends whole conversations, each in one append."""

    async def one(number: int) -> None:
        facts = [
            TYPES.seal(fact, f"f{number}-{place}", BEGAN + timedelta(seconds=place), Origin("messaging"))
            for place, fact in enumerate(conversation(number))
        ]
        told = await store.append(Append(f"conversation-c{number}", 0, facts, Request(f"r{number}".encode(), b"")))
        assert told.outcome is Outcome.APPENDED

    await asyncio.gather(*map(one, numbers))


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[PostgresStore]:
    await prepare(database_url)  # What a role may do in a database does not come with its template.
    opened = PostgresStore(database_url, "messaging", Counted())
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
async def live(database_url: str, store: PostgresStore) -> AsyncIterator[asyncpg.Connection]:
    """A connection to the live read model, which has taken in 300 conversations."""
    await write(store, range(300))
    await ensure(database_url, "messaging", READ_MODEL, TYPES)
    connection = await reader(database_url, "messaging", "messaging_read")
    while await project(connection, READ_MODEL, TYPES):
        pass
    yield connection
    await connection.close()


async def rebuilt(database_url: str, *, even_if_different: bool = False) -> Rebuilt:
    return await rebuild(
        database_url, "messaging", READ_MODEL, TYPES, lambda position, head: None, even_if_different=even_if_different
    )


async def counts(connection: asyncpg.Connection) -> tuple[int, int, int]:
    """Returns how many conversations, messages and withheld messages the live read model has."""
    row = await connection.fetchrow(
        "select count(*), sum(message_count)::bigint, sum(cardinality(withheld_from_client))::bigint"
        " from messaging_read.conversations"
    )
    return tuple(row)


@pytest.mark.rule("PL2")
async def test_a_rebuilt_read_model_has_the_digest_of_the_live_one_and_takes_its_place(
    live: asyncpg.Connection, database_url: str, store: PostgresStore
) -> None:
    before = await digest(live, "messaging_read")
    told = await rebuilt(database_url)
    assert told.position == await store.head() == 300 * (MESSAGES_EACH + 2)
    assert told.live_digest == told.rebuilt_digest == before == await digest(live, "messaging_read")
    assert await counts(live) == (300, 300 * MESSAGES_EACH, 300)


@pytest.mark.rule("PL2")
async def test_the_new_read_model_goes_on_where_the_old_one_was(
    live: asyncpg.Connection, database_url: str, store: PostgresStore
) -> None:
    await rebuilt(database_url)
    await write(store, range(300, 310))
    assert await project(live, READ_MODEL, TYPES) == 10 * (MESSAGES_EACH + 2)
    assert await counts(live) == (310, 310 * MESSAGES_EACH, 310)


@pytest.mark.rule("PL2")
@pytest.mark.parametrize(
    "change",
    [
        "update messaging_read.conversations set message_count = message_count + 1 where conversation_id = 'c7'",
        "delete from messaging_read.conversations where conversation_id = 'c7'",
        "update messaging_read.conversations set last_message_at = last_message_at + interval '1 microsecond'"
        " where conversation_id = 'c7'",
        "insert into messaging_read.conversations values ('x', 'c', 't', 0, now(), now(), 0)",
    ],
    ids=["a value", "a row gone", "a microsecond", "a row more"],
)
async def test_one_changed_row_is_found_and_nothing_is_swapped_unless_asked(
    live: asyncpg.Connection, database_url: str, change: str
) -> None:
    right = await digest(live, "messaging_read")
    await live.execute(change)
    wrong = await digest(live, "messaging_read")
    with pytest.raises(DigestsDiffer, match="rows only live"):
        await rebuilt(database_url)
    assert await digest(live, "messaging_read") == wrong != right

    told = await rebuilt(database_url, even_if_different=True)
    assert (told.live_digest, told.rebuilt_digest) == (wrong, right)
    assert await digest(live, "messaging_read") == right


@pytest.mark.rule("PL2")
async def test_a_read_model_with_another_definition_is_built_again_by_itself(
    live: asyncpg.Connection, database_url: str, tmp_path: Path
) -> None:
    tables = tmp_path / "read_model.sql"
    tables.write_text(READ_MODEL.tables[0].read_text() + "alter table conversations add note text default 'new';\n")
    changed = replace(READ_MODEL, tables=[tables])
    identity = "select 'messaging_read.conversations'::regclass::oid"
    old = await live.fetchval(identity)

    await ensure(database_url, "messaging", READ_MODEL, TYPES)
    assert await live.fetchval(identity) == old  # The same definition is left as it is.
    await ensure(database_url, "messaging", changed, TYPES)
    assert await live.fetchval(identity) != old
    assert await live.fetchval("select count(*) from messaging_read.conversations where note = 'new'") == 300
    assert await counts(live) == (300, 300 * MESSAGES_EACH, 300)
    checkpoint = await live.fetchrow("select position, definition from messaging_read.read_model_checkpoint")
    assert tuple(checkpoint) == (300 * (MESSAGES_EACH + 2), changed.definition)


@pytest.mark.rule("PL2")
async def test_a_read_model_far_behind_is_compared_where_it_is(
    live: asyncpg.Connection, database_url: str, store: PostgresStore
) -> None:
    await write(store, range(300, 600))
    ignored = GateCopied(gate="standing", subject="c")
    facts = [TYPES.seal(ignored, f"gate-{number}", BEGAN, Origin("messaging")) for number in range(1_000)]
    for number in range(9):
        await store.append(Append(f"gate-{number}", 0, facts, Request(f"gate-{number}".encode(), b"")))

    told = await rebuilt(database_url)
    assert (told.position, await store.head()) == (300 * (MESSAGES_EACH + 2), 600 * (MESSAGES_EACH + 2) + 9_000)
    assert await live.fetchval("select position from messaging_read.read_model_checkpoint") == told.position


class Lag:
    def projection_lag(self, projection: str, positions: int) -> None: ...


@pytest.mark.rule("PL2")
async def test_rebuilds_pass_unnoticed_while_facts_arrive_and_the_live_projection_works(
    live: asyncpg.Connection, database_url: str, store: PostgresStore
) -> None:
    projecting = Projecting(database_url, "messaging", READ_MODEL, TYPES, Lag())
    working = asyncio.create_task(projecting.run())
    stop = asyncio.Event()

    async def keep_writing() -> int:
        conversations = 300
        while not stop.is_set():
            await write(store, range(conversations, conversations + 5))
            conversations += 5
        return conversations

    writing = asyncio.create_task(keep_writing())
    told = [await rebuilt(database_url) for _ in range(4)]
    stop.set()
    written = await writing
    assert [each.live_digest for each in told] == [each.rebuilt_digest for each in told]
    assert told[0].position < told[-1].position  # Facts did arrive meanwhile.
    await until_it_has_reached(await store.head(), live, working)
    assert await counts(live) == (written, written * MESSAGES_EACH, written)
    assert len({each.live_digest for each in told}) > 1
    await projecting.stop()
    await working
    assert (await rebuilt(database_url)).position == await store.head()


async def until_it_has_reached(head: int, live: asyncpg.Connection, working: "asyncio.Task[None]") -> None:
    async with asyncio.timeout(10):
        while await live.fetchval("select position from messaging_read.read_model_checkpoint") < head:
            if working.done():
                working.result()
            await asyncio.sleep(0.02)


@pytest.mark.rule("PL2")
async def test_several_processes_that_start_at_once_create_one_read_model(
    database_url: str, store: PostgresStore
) -> None:
    await asyncio.gather(*(ensure(database_url, "messaging", READ_MODEL, TYPES) for _ in range(6)))
    await write(store, range(3))
    connection = await reader(database_url, "messaging", "messaging_read")
    assert await project(connection, READ_MODEL, TYPES) == 3 * (MESSAGES_EACH + 2)
    await connection.close()
