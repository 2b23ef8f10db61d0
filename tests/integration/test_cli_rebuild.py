"""Response-SLA's inputs made again out of the topics, by the operators' command."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from holdspace.messaging.v1.events_pb2 import EXPECTATION_REPLY, MessageSent
from holdspace.response_sla.v1.service_pb2 import GetFiguresRequest, GetProgressRequest
from holdspace.response_sla.v1.service_pb2_grpc import ResponseSlaServiceStub
from infra import topics
from infra.cli.main import holdspace
from infra.database import prepare
from infra.local import servers as local_servers
from infra.local.servers import Servers
from kernel.facts import timestamp
from tests.calls import fresh
from tests.integration.elsewhere import Said, by_messaging, elsewhere
from tests.running import ServiceProcess

ORIGIN = datetime(2026, 3, 1, tzinfo=UTC)
HOUR_MS = 3_600_000

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def kafka(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A broker of the test's own: a rebuild reads its topics from their beginning."""
    monkeypatch.setenv(local_servers.DATABASE_VARIABLE, database_url)
    address = local_servers.up(tmp_path, print).kafka
    topics.apply(address, topics.load(), replication=1, partitions=4)
    yield address
    local_servers.down(tmp_path)


@pytest.fixture
def process(kafka: str, database_url: str, credentials: Path, tmp_path: Path) -> Iterator[ServiceProcess]:
    asyncio.run(prepare(database_url))  # A copied database lacks the grants on the database itself.
    process = ServiceProcess("response_sla", Servers(database_url, kafka), database_url, credentials, tmp_path)
    yield process
    process.stop()


def says(conversation: str, therapist: str, sequence: int, sender: str, hours: int) -> Said:
    sent = MessageSent(
        conversation_id=conversation,
        client_id=f"client-of-{therapist}",
        therapist_id=therapist,
        sequence=sequence,
        sender="SIDE_CLIENT" if sender == "client" else "SIDE_THERAPIST",
        expects=EXPECTATION_REPLY,
    )
    return by_messaging(ORIGIN + timedelta(hours=hours), sent)


async def reached(process: ServiceProcess, revisions: list[str]) -> None:
    async with process.channel("response_sla.read_all") as channel, asyncio.timeout(100):
        stub = ResponseSlaServiceStub(channel)
        while not (await stub.GetProgress(GetProgressRequest(revisions=revisions))).revisions_reached:  # noqa: ASYNC110 - the API is asked
            await asyncio.sleep(0.1)


async def figures(process: ServiceProcess, therapist: str) -> Any:
    async with process.channel("response_sla.read") as channel:
        as_of = timestamp(ORIGIN + timedelta(hours=1000))
        asked = GetFiguresRequest(therapist_id=therapist, as_of=as_of)
        return (await ResponseSlaServiceStub(channel).GetFigures(asked)).all


@pytest.mark.rule("SL6", "SL8")
async def test_inputs_missing_here_are_shown_taken_in_from_the_topics_and_never_counted_twice(
    process: ServiceProcess, kafka: str, database_url: str
) -> None:
    async def operate(*arguments: str) -> tuple[int, list[str]]:
        told = await asyncio.to_thread(
            CliRunner().invoke,
            holdspace,
            ["response-sla", "rebuild", "--kafka", kafka, "--database-url", database_url, *arguments],
        )
        return told.exit_code, told.stdout.splitlines()

    conversation, therapist = fresh(), fresh()
    async with elsewhere(kafka) as stores:
        await asyncio.to_thread(process.start)
        await reached(process, await stores.says([says(conversation, therapist, 1, "client", 0)]))
        async with asyncio.timeout(60):
            while (told := await operate("--cell", stores.cell))[0] != 0:  # noqa: ASYNC110 - told by a row
                await asyncio.sleep(0.5)
        lines = told[1]
        assert lines[-1] == "nothing was changed"
        assert f"  {conversation} message 1, epoch 1" in lines  # Nobody's messaging holds what this test made up.
        assert await asyncio.to_thread(process.stop) == 0

        more = [says(conversation, therapist, 2, "therapist", 5), says(conversation, therapist, 3, "client", 6)]
        revisions = await stores.says(more)
        code, lines = await operate()
        assert code == 1
        assert "missing here: 2 messages, 0 facts about people" in lines
        assert lines[lines.index("waits would be others: 1 conversations") + 1] == f"  {conversation}"
        assert lines[-1] == "nothing was changed"
        assert (await operate())[1] == lines

        code, lines = await operate("--yes")
        assert code == 0, lines
        assert lines[-3:] == [
            "missing here: 0 messages, 0 facts about people",
            "only here: 0 messages, 0 facts about people",
            "waits would be others: 0 conversations",
        ]
        await asyncio.to_thread(process.start)
        await reached(process, revisions)
        found = await figures(process, therapist)
    assert (found.opened, found.count, found.open, found.median_ms) == (2, 1, 1, 5 * HOUR_MS)
