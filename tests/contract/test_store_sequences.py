"""Appends that are submitted together: each for itself, and of one stream none behind a refused one."""

import asyncio
from collections.abc import Sequence

from kernel.store.interface import Append, Appended, Attachment, EventStore, Outcome
from kernel.store.postgres import PostgresStore
from tests.contract.conftest import Counted
from tests.contract.test_store import append, outcomes, request


def versions(told: Sequence[Appended | None]) -> list[int | None]:
    return [appended.version if appended else None for appended in told]


async def test_appends_in_order_each_have_their_own_answer(store: EventStore) -> None:
    await store.append(append("s", 0, b"first"))
    asked = [request() for _ in range(50)]
    facts = [[f"{n}a".encode(), f"{n}b".encode()] for n in range(50)]
    told = await store.append_all([append("s", 1 + 2 * n, *facts[n], request=asked[n]) for n in range(50)])
    assert [(t.version, t.position) for t in told if t] == [(3 + 2 * n, 3 + 2 * n) for n in range(50)]
    assert [r.fact for r in await store.read_stream("s")] == [b"first", *(fact for two in facts for fact in two)]
    found = [await store.find_request(each) for each in asked]
    assert [(f.version, f.position) for f in found if f is not None] == [(t.version, t.position) for t in told if t]


async def test_appends_in_order_share_commits_among_others(database_url: str) -> None:
    counted = Counted()
    store = PostgresStore(database_url, "messaging", counted, batch_max=64)
    await store.open()
    sequences = [store.append_all([append(f"s{s}", n, b"x") for n in range(50)]) for s in range(4)]
    long = store.append_all([append("long", n, b"x") for n in range(200)])
    alone = [append(f"t{n}", 0, b"x") for n in range(30)]
    told, others, _ = await asyncio.gather(long, asyncio.gather(*sequences), outcomes(store, *alone))
    assert versions(told) == list(range(1, 201))
    assert [versions(other) for other in others] == [list(range(1, 51))] * 4
    assert await store.head() == 430
    assert len(counted.batches) < 20
    await store.close()


async def test_nothing_goes_behind_a_refused_append_and_what_came_before_it_stays(store: EventStore) -> None:
    seen = request("seen")
    await store.append(append("s", 0, b"0", request=seen))
    sent = [append("s", 1, b"1"), append("s", 2, b"2", request=seen), append("s", 3, b"3"), append("s", 4, b"4")]
    told, other = await asyncio.gather(store.append_all(sent), store.append(append("t", 0, b"t")))
    assert (versions(told), other.outcome) == ([2, None, None, None], Outcome.APPENDED)
    assert [r.fact for r in await store.read_stream("s")] == [b"0", b"1"]
    assert [r.position for r in await store.read_all(0, 10)] == [1, 2, 3]
    assert await store.find_request(sent[2].request) is None  # It can be tried again.


async def test_a_request_that_comes_twice_in_a_row_has_one_effect(store: EventStore) -> None:
    once = request("once")
    sent = [append("s", 0, b"0", request=once), append("s", 1, b"1", request=once), append("s", 2, b"2")]
    told, _ = await asyncio.gather(store.append_all(sent), store.append(append("t", 0, b"t")))
    assert versions(told) == [1, None, None]
    assert [r.fact for r in await store.read_stream("s")] == [b"0"]


async def test_nothing_goes_behind_a_stale_append_though_its_version_would_fit(store: EventStore) -> None:
    await store.append_all([append("s", 0, b"0"), append("s", 1, b"1")])
    assert await store.append_all([append("s", 1, b"late"), append("s", 2, b"behind it")]) == [None, None]
    assert [r.fact for r in await store.read_stream("s")] == [b"0", b"1"]


async def test_a_dependency_that_moved_refuses_its_own_append_and_what_goes_behind_it(store: EventStore) -> None:
    await store.append(append("gate", 0, b"closed"))
    body = Attachment("behind", b"body")
    told = await store.append_all(
        [
            append("s", 0, b"0", depends_on={"gate": 1}),
            append("s", 1, b"1", depends_on={"gate": 0}),
            append("s", 2, b"2", depends_on={"gate": 1}, attachments=[body]),
        ]
    )
    assert versions(told) == [1, None, None]
    assert await store.attachment("behind") is None


async def test_a_dependency_that_moved_refuses_all_of_a_stream_that_share_it(store: EventStore) -> None:
    await store.append(append("gate", 0, b"closed"))
    shared = [append("s", n, b"s", depends_on={"gate": 0}) for n in range(3)]
    others = [append("t", n, b"t", depends_on={"gate": 1}) for n in range(3)]
    assert versions(await store.append_all([*shared, *others])) == [None, None, None, 1, 2, 3]
    assert not await store.read_stream("s")


async def test_one_that_no_store_can_take_leaves_those_before_it(store: EventStore) -> None:
    def wrong(stream: str) -> Append:
        return append(stream, 1, b"1", depends_on={"a\0": 0})

    told = await store.append_all([append("s", 0, b"0"), wrong("s"), append("s", 2, b"2")])
    assert versions(told) == [1, None, None]
    assert len(await store.read_stream("s")) == 1


async def test_a_refused_append_leaves_the_other_streams_of_its_call_alone(store: EventStore) -> None:
    await store.append(append("b", 0, b"0"))
    together = [append("a", 0, b"1"), append("a", 1, b"2"), append("b", 0, b"late"), append("b", 1, b"behind it")]
    told = await store.append_all([*together, append("c", 0, b"3"), append("c", 1, b"4")])
    assert versions(told) == [1, 2, None, None, 1, 2]
    assert [recorded.fact for recorded in await store.read_all(0, 10)] == [b"0", b"1", b"2", b"3", b"4"]


async def test_appends_of_one_call_that_cannot_share_a_transaction_go_one_after_the_other(store: EventStore) -> None:
    twice = request("twice")
    told = await store.append_all(
        [
            append("s", 0, b"0", request=twice),
            append("t", 0, b"1"),
            append("u", 0, b"repeated", request=twice),
            append("v", 0, b"2", depends_on={"t": 1}),
        ]
    )
    assert versions(told) == [1, 1, None, 1]
    assert [recorded.fact for recorded in await store.read_all(0, 10)] == [b"0", b"1", b"2"]


async def test_more_appends_than_a_batch_takes_keep_the_order_of_their_streams(database_url: str) -> None:
    store = PostgresStore(database_url, "messaging", Counted(), batch_max=4)
    await store.open()
    await store.append(append("late", 0, b"0"))
    late = [append("late", n, b"late") for n in range(6)]
    told = await store.append_all([append("s", n, b"x") for n in range(9)] + late + [append("t", 0, b"x")])
    assert versions(told) == [*range(1, 10), *[None] * 6, 1]
    assert len(await store.read_stream("late")) == 1
    await store.close()
