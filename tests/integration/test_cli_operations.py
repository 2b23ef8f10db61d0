"""What operators do from a command line, against real servers: look, rebuild, redrive, provision, reconcile."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import click
import pytest
from click.testing import CliRunner

from holdspace.messaging.v1.events_pb2 import SIDE_CLIENT, MessageSent
from holdspace.messaging.v1.service_pb2 import ImportLine, ImportMessagesRequest
from holdspace.messaging.v1.service_pb2_grpc import MessagingServiceStub
from infra.cli.main import holdspace
from infra.database import prepare
from infra.local.servers import Servers
from kernel.consumers import parking
from kernel.consumers.records import Record
from kernel.store.connections import connect
from services.messaging.domain.conversation import conversation_id
from tests.calls import fresh
from tests.running import ServiceProcess

LINES = 40
STREAM = f"conversation-{conversation_id('client', 'therapist')}"
LIVE_DIGEST, REBUILT_DIGEST = "live     ", "rebuilt  "


@pytest.fixture
def stopped(servers: Servers, database_url: str, credentials: Path, tmp_path: Path) -> str:
    """The database of a messaging that has imported a conversation, projected it, joined its topics and stopped."""
    process = ServiceProcess("messaging", servers, database_url, credentials, tmp_path).start()
    lines = [
        ImportLine(
            line=n,
            sender_id="client",
            recipient_id="therapist",
            sent_at={"seconds": 1_600_000_000 + n},
            sender=SIDE_CLIENT,
        )
        for n in range(1, LINES + 1)
    ]

    async def fill() -> None:
        await prepare(database_url)  # A copied database lacks the grants on the database itself.
        async with process.channel("messaging.import") as channel:
            stub = MessagingServiceStub(channel)
            await stub.ImportMessages(
                ImportMessagesRequest(request_id=fresh(), source="old", operator_id="operator", lines=lines)
            )
        connection = await connect(database_url, role="messaging_reader", search_path="messaging_read, messaging")
        async with asyncio.timeout(30):
            while not await is_settled(connection):  # noqa: ASYNC110 - it settles in another process
                await asyncio.sleep(0.05)
        await connection.close()

    asyncio.run(fill())
    assert process.stop() == 0
    return database_url


async def is_settled(connection: asyncpg.Connection) -> bool:
    """The roles start one after another, and the read model's tables come with the first projection."""
    if await connection.fetchval("select to_regclass('conversations')") is None:
        return False
    messages = await connection.fetchval("select sum(message_count) from conversations")
    return messages == LINES and await connection.fetchval("select exists (select from consumer_checkpoints)")


@pytest.fixture
def operate(servers: Servers, database_url: str, tmp_path: Path) -> Iterator[Any]:
    """Runs a command line. Returns its exit code, what it printed, and its errors."""
    variables = {"HOLDSPACE_DATABASE_URL": database_url, "HOLDSPACE_KAFKA": servers.kafka}

    def run(*arguments: str, **other: str | None) -> tuple[int, str, str]:
        environment = {**variables, "HOLDSPACE_LOCAL": str(tmp_path / "none"), **other}
        done = CliRunner().invoke(holdspace, arguments, env=environment)
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return done.exit_code, done.stdout, done.stderr

    yield run
    assert click.get_current_context(silent=True) is None


def execute(url: str, sql: str) -> None:
    async def run() -> None:
        connection = await asyncpg.connect(url, server_settings={"role": "messaging_reader"})
        await connection.execute(sql)
        await connection.close()

    asyncio.run(run())


def test_a_stream_is_shown_fact_by_fact_with_who_and_when(stopped: str, operate: Any) -> None:
    code, told, _ = operate("stream", "show", "messaging", STREAM)
    facts = [json.loads(line) for line in told.splitlines()]
    assert code == 0
    assert [fact["version"] for fact in facts] == list(range(1, LINES + 3))
    last = facts[-1]
    assert (last["type"], last["imported_from"]) == (MessageSent.DESCRIPTOR.full_name, "old")
    assert last["occurred_at"] == "2020-09-13T12:27:20Z"
    assert last["payload"]["sequence"] == str(LINES)
    assert last["payload"]["sender"] == "SIDE_CLIENT" != SIDE_CLIENT
    assert json.loads(operate("stream", "show", "messaging", STREAM, "--after", str(LINES + 1))[1]) == last

    assert operate("stream", "show", "messaging", "nothing") == (
        1,
        "",
        "Error: messaging has no facts in stream nothing\n",
    )


@pytest.mark.rule("PL2", "PL7", "SL6")
def test_a_read_model_is_rebuilt_to_the_same_digest_and_one_changed_row_is_noticed(stopped: str, operate: Any) -> None:
    digest = operate("read-model", "digest", "messaging")
    code, told, error = operate("read-model", "rebuild", "messaging")
    assert code == 0, error
    live, rebuilt, position = told.splitlines()
    assert code == 0
    assert live.removeprefix(LIVE_DIGEST) == rebuilt.removeprefix(REBUILT_DIGEST)
    assert position == f"position {LINES + 2}: swapped"
    assert operate("read-model", "digest", "messaging") == digest

    execute(stopped, "update messaging_read.conversations set last_message_at = last_message_at + interval '1 ms'")
    assert operate("read-model", "digest", "messaging") != digest
    code, told, error = operate("read-model", "rebuild", "messaging")
    assert (code, told) == (1, "")
    assert error.startswith("Error: messaging: live ")
    code, told, _ = operate("read-model", "rebuild", "messaging", "--even-if-different")
    live, rebuilt, _ = told.splitlines()
    assert live.removeprefix(LIVE_DIGEST) != rebuilt.removeprefix(REBUILT_DIGEST)
    assert operate("read-model", "digest", "messaging") == digest


@pytest.mark.rule("PL7")
def test_parked_records_are_listed_and_redriven_by_key(stopped: str, operate: Any) -> None:
    async def park() -> None:
        connection = await connect(stopped, role="messaging_api", search_path="messaging, public")
        record = Record("holdspace.standing.v1", 2, 17, b"client-9", b"\xff", [])
        await parking.park(connection, "messaging.lanes", [(record, "not an envelope")])
        await connection.close()

    asyncio.run(park())
    asked = ("messaging", "messaging.lanes", "client-9")
    found = json.loads(operate("parked", "list", "--output", "json")[1])
    assert (found["service"], found["consumer"], found["key"]) == asked
    assert (found["offset"], found["reason"], found["redrive"]) == (17, "not an envelope", None)

    assert operate("parked", "redrive", *asked)[0] == 0
    assert json.loads(operate("parked", "list", "messaging", "--output", "json")[1])["redrive"] == "asked"
    assert operate("parked", "redrive", "messaging", "messaging.lanes", "client-8")[0] == 1
    assert operate("parked", "list", "scheduling", "--output", "json")[:2] == (0, "")
    (counted,) = [row for row in rows(operate("lag", "messaging", "--output", "json")[1]) if "consumer" in row]
    assert counted["parked_keys"] == 1


@pytest.mark.rule("PL7")
def test_lag_tells_what_is_not_sent_not_projected_and_not_taken(stopped: str, operate: Any) -> None:
    execute(stopped, f"update messaging.relay_checkpoint set position = {LINES + 2 - 3}")
    execute(stopped, "update messaging_read.read_model_checkpoint set position = position - 2")
    store, *consumers = rows(operate("lag", "messaging", "--output", "json")[1])
    assert (store["facts"], store["unsent"], store["read_model_behind"]) == (LINES + 2, 3, 2)
    assert store["oldest_unsent_seconds"] > 0
    assert {row["consumer"] for row in consumers} == {"messaging.lanes"}
    assert all(row["lag_records"] >= 0 for row in consumers)

    code, told, error = operate("lag", "--output", "table")
    assert code == 0, error
    assert "messaging.lanes" in told


def rows(told: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in told.splitlines()]


def test_topics_are_planned_applied_and_a_changed_partition_count_is_refused(operate: Any) -> None:
    as_in_tests = ("--replication", "1", "--partitions", "4")
    assert operate("topics", "plan", *as_in_tests) == (0, "", "")
    assert operate("topics", "apply", *as_in_tests) == (0, "0 topics created, 0 changed\n", "")
    code, told, error = operate("topics", "plan", "--replication", "1", "--partitions", "8")
    assert (code, told) == (1, "")
    assert error.startswith("Error: partition counts never change")
    code, told, _ = operate("topics", "drift", "--replication", "1", "--partitions", "8")
    assert code == 1
    assert "holdspace.standing.v1 has 4 partitions, not 8" in told.splitlines()


@pytest.mark.rule("PL1")
def test_after_a_restore_the_epoch_is_raised_once_it_is_confirmed(stopped: str, operate: Any) -> None:
    code, _, error = operate("relay", "reconcile", "messaging")
    assert code == 1  # nobody there to confirm it
    assert "Aborted!" in error
    assert operate("relay", "reconcile", "messaging", "--yes") == (0, "epoch 2\n", "")


def test_a_database_is_prepared_as_often_as_one_likes(operate: Any) -> None:
    for _ in range(2):
        assert operate("database", "prepare")[0] == 0


def test_what_is_not_said_is_asked_for_and_what_is_away_is_named(operate: Any) -> None:
    code, _, error = operate("database", "prepare", HOLDSPACE_DATABASE_URL=None)
    assert code == 2
    assert error.startswith("Error: No database: set HOLDSPACE_DATABASE_URL, or start the local stack")
    away = "postgresql://nobody:secret@127.0.0.1:1/x"
    code, _, error = operate("stream", "show", "messaging", "s", HOLDSPACE_DATABASE_URL=away)
    assert code == 1
    assert error.startswith("Error: The database at 127.0.0.1:1 does not answer")
    assert "secret" not in error
    assert operate("figures", "--response-sla", "127.0.0.1:1", "--token", "t")[0] == 2
    assert operate("stream", "show", "no-such-service", "s")[0] == 2
    assert operate("token", "--subject", "web")[0] == 1  # no keys there
