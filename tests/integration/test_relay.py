"""The relay against real servers: what the store has goes to Kafka, in order, whoever is killed."""

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from infra.cli.main import holdspace
from infra.local.servers import Servers
from kernel.consumers.reader import LogReader
from kernel.consumers.records import Record
from kernel.errors import Poison, WrongSetting
from kernel.facts import UnknownFactType, open_envelope
from kernel.relay.headers import Headers, decode
from kernel.relay.relay import PAGE_FACTS_MAX, GapInStore, Relay
from kernel.relay.restored import StoreRestored
from kernel.relay.session import relay_session
from kernel.relay.source import reconcile
from tests.integration.bench import Bench, Seen, bench, handler, until, until_at_least
from tests.integration.published import (
    SERVICE,
    SOURCE,
    Vocabulary,
    create_topic,
    delete_topic,
    new_topic_name,
    record_facts,
)
from tests.integration.worker import Task, relay

FACTS = 2 * PAGE_FACTS_MAX
SUBJECTS = 50


@pytest.fixture
async def made(servers: Servers, database_url: str, tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench(servers, database_url, tmp_path) as each:
        yield each


def relay_of(made: Bench) -> Relay:
    return relay(Task("relay", made.database_url, made.kafka, made.topic))


async def relay_all(made: Bench, up_to: int) -> None:
    """Relays until the checkpoint is there; raises what the relay raises."""
    role = relay_of(made)
    running = asyncio.create_task(role.run())
    try:
        await until(lambda: _is_over(running, made, up_to), 20)
    finally:
        await role.stop()
        await running


async def _is_over(running: asyncio.Task[None], made: Bench, up_to: int) -> bool:
    return running.done() or await checkpoint(made) >= up_to


async def checkpoint(made: Bench) -> int:
    return int(await made.connection.fetchval("select position from relay_checkpoint"))


async def sent(made: Bench) -> int:
    return sum((await LogReader(made.kafka).ends(made.partitions)).values())


def in_order(seen: dict[str, list[int]], count: int) -> bool:
    return seen == {f"s{n}": list(range(n, count, SUBJECTS)) for n in range(SUBJECTS)}


def headers_by_partition(records: list[Record]) -> dict[int, list[Headers]]:
    found: dict[int, list[Headers]] = {}
    for record in records:
        found.setdefault(record.partition, []).append(decode(record.headers))
    return found


@pytest.mark.rule("PL1")
async def test_what_is_recorded_is_published_once_in_order_and_what_is_private_is_not(made: Bench) -> None:
    facts = made.vocabulary.notes(FACTS, SUBJECTS)
    private = made.vocabulary.seal(made.vocabulary.Kept(subject="s1", number=0))
    await record_facts(made.database_url, [private, *facts, private])

    await relay_all(made, FACTS + 2)

    records = await made.records()
    assert sorted(record.value or b"" for record in records) == sorted(facts)
    for headers in headers_by_partition(records).values():
        positions = [each.position for each in headers]
        assert positions == sorted(positions)
        assert {each.source for each in headers} == {SOURCE}
    assert {open_envelope(record.value or b"").key.encode() == record.key for record in records} == {True}


@pytest.mark.rule("PL1")
async def test_a_relay_killed_before_its_checkpoint_sends_again_and_the_effect_is_one(made: Bench) -> None:
    await record_facts(made.database_url, made.vocabulary.notes(FACTS, SUBJECTS))
    async with made.connection.transaction():
        await made.connection.execute("select from relay_checkpoint for update")
        killed = made.start("relay")
        await until_at_least(lambda: sent(made), PAGE_FACTS_MAX, 10)
        killed.signal(signal.SIGKILL)
        await asyncio.sleep(3.5)  # until its session gives up on the checkpoint, which it would still write

    await relay_all(made, FACTS)

    records = await made.records()
    assert len(records) == FACTS + PAGE_FACTS_MAX, "a page is there twice, so the consumer had something to drop"
    seen = Seen()
    await (await handler(made, "c", seen)).handle(records)
    assert in_order(seen.numbers, FACTS)


@pytest.mark.rule("PL1")
async def test_a_stopped_or_killed_relay_is_replaced_within_ten_seconds(made: Bench) -> None:
    first, second = made.start("relay"), made.start("relay")
    await record_facts(made.database_url, made.vocabulary.notes(100, SUBJECTS))
    await until_at_least(lambda: checkpoint(made), 100, 15)
    active, standby = (first, second) if first.lines("relay is active") else (second, first)
    assert not standby.lines("relay is active")

    active.signal(signal.SIGSTOP)
    await record_facts(made.database_url, made.vocabulary.notes(100, SUBJECTS, 100))
    assert await until_at_least(lambda: checkpoint(made), 200, 10) < 10
    active.signal(signal.SIGCONT)
    assert await active.ended() != 0, "a relay that lost its lease ends"

    third = made.start("relay")
    standby.signal(signal.SIGKILL)
    await record_facts(made.database_url, made.vocabulary.notes(100, SUBJECTS, 200))
    assert await until_at_least(lambda: checkpoint(made), 300, 10) < 10
    third.signal(signal.SIGTERM)
    assert await third.ended() == 0

    seen = Seen()
    await (await handler(made, "c", seen)).handle(await made.records())
    assert in_order(seen.numbers, 300)


async def test_a_restored_store_is_refused_until_an_operator_reconciles_it(made: Bench) -> None:
    await record_facts(made.database_url, made.vocabulary.notes(40, SUBJECTS))
    await relay_all(made, 40)

    await made.connection.execute("delete from facts where position > 20")
    await made.connection.execute("update relay_checkpoint set position = 18")
    with pytest.raises(StoreRestored, match="its head is 20"):
        await relay_all(made, 20)
    # New facts reach the lost positions before anyone looks: the head alone would not tell.
    await record_facts(made.database_url, made.vocabulary.notes(40, SUBJECTS, 100))
    with pytest.raises(StoreRestored):
        await relay_all(made, 60)
    assert await sent(made) == 40

    assert await reconcile(made.connection, SERVICE) == 2
    await relay_all(made, 60)
    headers = [decode(record.headers) for record in await made.records()]
    again = [each.position for each in headers if each.source == f"{SERVICE}/main/2"]
    assert sorted(again) == list(range(19, 61))


@pytest.mark.rule("PL1")
async def test_what_a_topic_made_anew_lacks_is_published_again_and_taken_once(made: Bench) -> None:
    await record_facts(made.database_url, made.vocabulary.notes(40, SUBJECTS))
    await relay_all(made, 40)
    seen = Seen()
    await (await handler(made, "c", seen)).handle(await made.records())
    for topic in (made.topic, f"{made.topic}.watermark"):
        await delete_topic(made.kafka, topic)
    await create_topic(made.kafka, made.topic)
    assert await sent(made) == 0

    variables = {"HOLDSPACE_DATABASE_URL": made.database_url, "HOLDSPACE_KAFKA": made.kafka}
    ask = ("relay", "republish", SERVICE)
    assert (await asyncio.to_thread(CliRunner().invoke, holdspace, ask, env=variables)).exit_code == 0
    assert await checkpoint(made) == 40
    assert (await asyncio.to_thread(CliRunner().invoke, holdspace, (*ask, "--yes"), env=variables)).exit_code == 0
    assert await made.connection.fetchval("select before ->> 'relayed' from operator_actions") == "40"
    await relay_all(made, 40)

    assert await sent(made) == 40
    await made.connection.execute("update consumer_checkpoints set next_offset = 0; delete from consumer_topics")
    await (await handler(made, "c", seen)).handle(await made.records())
    assert seen.numbers == {f"s{n}": [n] for n in range(40)}


@pytest.mark.rule("MO5", "AV4")
async def test_after_a_reconcile_the_last_state_of_every_stream_is_sent_anew_and_nothing_twice(made: Bench) -> None:
    words = made.vocabulary

    async def state(*subjects: str, first: int) -> None:
        facts = [words.seal(words.Stated(subject=s, number=n)) for n, s in enumerate(subjects, first)]
        await record_facts(made.database_url, facts, [f"stream-{s}" for s in subjects])

    async def of_epoch(epoch: int) -> list[int]:
        headers = [decode(record.headers) for record in await made.records()]
        return sorted(each.position for each in headers if each.source == f"{SERVICE}/main/{epoch}")

    await state("a", "b", "a", "c", first=1)
    await record_facts(made.database_url, words.notes(6, 2))
    await state("b", first=11)
    await relay_all(made, 11)
    await made.connection.execute("delete from facts where position > 10")
    await made.connection.execute("update relay_checkpoint set position = 8")
    assert await reconcile(made.connection, SERVICE) == 2
    await relay_all(made, 10)

    assert await of_epoch(2) == [2, 3, 4, 9, 10]  # the last states up to the checkpoint, then what comes after it
    assert await made.connection.fetchval("select restated_epoch from relay_checkpoint") == 2
    await state("c", first=11)
    await relay_all(made, 11)
    assert await of_epoch(2) == [2, 3, 4, 9, 10, 11]  # once in an epoch


async def test_an_active_relay_is_not_reconciled(made: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kernel.relay.source.RECONCILE_LOCK_SECONDS", 0.2)
    async with relay_session(made.database_url, SERVICE):
        with pytest.raises(WrongSetting, match="is active"):
            await reconcile(made.connection, SERVICE)


async def test_an_unlisted_fact_type_stops_the_relay(made: Bench) -> None:
    other = Vocabulary(new_topic_name())
    await record_facts(made.database_url, [*made.vocabulary.notes(10, 1), *other.notes(1, 1)])

    with pytest.raises(UnknownFactType):
        await relay_all(made, 11)

    assert await checkpoint(made) == 0


@pytest.mark.parametrize("missing", [1, 2, 3])
async def test_a_gap_in_the_store_stops_the_relay_before_anything_behind_it_is_sent(made: Bench, missing: int) -> None:
    await record_facts(made.database_url, made.vocabulary.notes(4, 1))
    await made.connection.execute("delete from facts where position = $1", missing)

    with pytest.raises(GapInStore, match="lacks facts between positions 0 and 4"):
        await relay_all(made, 4)

    assert await sent(made) == 0


async def test_a_fact_that_is_no_envelope_stops_the_relay_and_is_told_with_its_place(made: Bench) -> None:
    await record_facts(made.database_url, made.vocabulary.notes(4, 1))
    await made.connection.execute(r"update facts set fact = '\xff' where position = 3")

    with pytest.raises(Poison, match="positions 1 to 4: not an envelope"):
        await relay_all(made, 4)

    assert await checkpoint(made) == 0
