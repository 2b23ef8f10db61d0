"""What every event store must do. Both adapters are held to it."""

import asyncio
import secrets
from datetime import UTC, datetime, timedelta

import pytest

from kernel.errors import DeadlinePassed, Poison
from kernel.store.interface import (
    Append,
    Appended,
    Attachment,
    EventStore,
    NameClaim,
    Outcome,
    RangeClaim,
    Request,
    RequestKind,
    Timer,
    TimerDue,
)

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def request(name: str = "", payload: str = "", kind: RequestKind = RequestKind.CALL) -> Request:
    return Request((name or secrets.token_hex(16)).encode(), payload.encode(), kind)


def append(stream: str, expected: int, *facts: bytes, **more: object) -> Append:
    return Append(stream, expected, facts, more.pop("request", None) or request(), **more)  # type: ignore[arg-type]


async def outcomes(store: EventStore, *appends: Append) -> list[Outcome]:
    """Submits them together, as callers at the same time would."""
    return [result.outcome for result in await asyncio.gather(*map(store.append, appends))]


async def test_facts_are_read_back_in_order_with_dense_positions(store: EventStore) -> None:
    first = await store.append(append("s", 0, b"a", b"b"))
    second = await store.append(append("t", 0, b"c"))
    third = await store.append(append("s", 2, b"d"))

    assert (first.version, first.position) == (2, 2)
    assert (second.version, second.position) == (1, 3)
    assert (third.version, third.position) == (3, 4)
    assert [r.fact for r in await store.read_stream("s")] == [b"a", b"b", b"d"]
    assert [r.fact for r in await store.read_stream("s", 1)] == [b"b", b"d"]
    assert [r.fact for r in await store.read_stream("s", 0, 2)] == [b"a", b"b"]
    everything = await store.read_all(0, 100)
    assert [r.position for r in everything] == [1, 2, 3, 4]
    assert [r.recorded_at for r in everything] == sorted(r.recorded_at for r in everything)
    assert [r.fact for r in await store.read_all(1, 2)] == [b"b", b"c"]
    assert await store.head() == 4


async def test_an_empty_store_has_nothing_and_head_zero(store: EventStore) -> None:
    assert await store.head() == 0
    assert list(await store.read_all(0, 10)) == []
    assert list(await store.read_stream("s")) == []
    assert await store.attachment("a") is None
    assert await store.find_request(request()) is None


@pytest.mark.parametrize("expected", [0, 2, 7])
async def test_an_append_at_another_version_is_stale(store: EventStore, expected: int) -> None:
    await store.append(append("s", 0, b"a"))
    assert await outcomes(store, append("s", expected, b"b")) == [Outcome.STALE]
    assert await store.head() == 1


async def test_of_two_appends_at_one_version_one_wins(store: EventStore) -> None:
    assert sorted(await outcomes(store, append("s", 0, b"a"), append("s", 0, b"b"))) == [
        Outcome.APPENDED,
        Outcome.STALE,
    ]


async def test_a_stale_append_fails_none_of_its_neighbours(store: EventStore) -> None:
    await store.append(append("s", 0, b"a"))
    told = await outcomes(store, *(append(f"n{n}", 0, b"x") for n in range(40)), append("s", 0, b"b"))
    assert told == [Outcome.APPENDED] * 40 + [Outcome.STALE]
    assert [r.position for r in await store.read_all(0, 100)] == list(range(1, 42))


async def test_an_append_is_refused_when_a_stream_it_depends_on_moved(store: EventStore) -> None:
    await store.append(append("standing", 0, b"good"))
    assert await outcomes(store, append("s", 0, b"a", depends_on={"standing": 1})) == [Outcome.APPENDED]
    await store.append(append("standing", 1, b"suspended"))
    assert await outcomes(store, append("s", 1, b"b", depends_on={"standing": 1})) == [Outcome.DEPENDENCY_MOVED]
    assert await outcomes(store, append("s", 1, b"b", depends_on={"standing": 2, "none": 0})) == [Outcome.APPENDED]


@pytest.mark.parametrize("dependent_first", [True, False])
async def test_dependent_appends_submitted_together_never_both_pass_unseen(
    store: EventStore, dependent_first: bool
) -> None:
    dependent = append("s", 0, b"a", depends_on={"standing": 0})
    moving = append("standing", 0, b"suspended")
    told = dict(
        zip(
            ["dependent", "moving"] if dependent_first else ["moving", "dependent"],
            await asyncio.gather(*map(store.append, [dependent, moving] if dependent_first else [moving, dependent])),
            strict=True,
        )
    )
    assert told["moving"].outcome is Outcome.APPENDED
    if told["dependent"].outcome is Outcome.APPENDED:
        assert told["dependent"].position < told["moving"].position
    else:
        assert told["dependent"].outcome is Outcome.DEPENDENCY_MOVED


async def test_appends_that_depend_on_each_other_in_a_cycle_end_with_one_winner(store: EventStore) -> None:
    told = await outcomes(
        store,
        append("a", 0, b"a", depends_on={"b": 0}),
        append("b", 0, b"b", depends_on={"c": 0}),
        append("c", 0, b"c", depends_on={"a": 0}),
    )
    # In whatever order they commit, the last one must have seen its dependency move.
    assert Outcome.DEPENDENCY_MOVED in told
    assert Outcome.APPENDED in told
    assert await store.head() == told.count(Outcome.APPENDED)


@pytest.mark.parametrize("kind", list(RequestKind))
async def test_a_repeated_request_has_one_effect_and_the_first_answer(store: EventStore, kind: RequestKind) -> None:
    asked = request("r", "payload", kind)
    first = await store.append(append("s", 0, b"a", b"b", request=asked))
    await store.append(append("s", 2, b"c"))
    again = await store.append(append("s", 3, b"a", b"b", request=asked))

    assert again == Appended(Outcome.REQUEST_SEEN, "s", first.version, first.position)
    assert await store.find_request(asked) == again
    assert await store.head() == 3


async def test_a_request_without_facts_is_remembered_too(store: EventStore) -> None:
    asked = request("r", "nothing")
    assert (await store.append(append("s", 0, request=asked))).outcome is Outcome.APPENDED
    assert await outcomes(store, append("s", 0, b"a", request=asked)) == [Outcome.REQUEST_SEEN]


async def test_a_request_id_with_another_payload_is_refused(store: EventStore) -> None:
    await store.append(append("s", 0, b"a", request=request("r", "one")))
    assert await outcomes(store, append("s", 1, b"b", request=request("r", "two"))) == [Outcome.REQUEST_REUSED]
    assert (await store.find_request(request("r", "two"))).outcome is Outcome.REQUEST_REUSED  # type: ignore[union-attr]
    assert await store.head() == 1


@pytest.mark.parametrize("kind", list(RequestKind))
async def test_a_refused_request_is_not_remembered(store: EventStore, kind: RequestKind) -> None:
    asked = request("r", kind=kind)
    assert await outcomes(store, append("s", 5, b"a", request=asked)) == [Outcome.STALE]
    assert await outcomes(store, append("s", 0, b"a", request=asked)) == [Outcome.APPENDED]


async def test_the_same_request_submitted_many_times_at_once_has_one_effect(store: EventStore) -> None:
    asked = request("r")
    told = await outcomes(store, *(append("s", 0, b"a", request=asked) for _ in range(30)))
    assert sorted(told) == [Outcome.APPENDED] + [Outcome.REQUEST_SEEN] * 29


async def test_a_claimed_name_has_one_holder_until_it_is_released(store: EventStore) -> None:
    claim = NameClaim("receipt-1")
    assert await outcomes(store, append("a", 0, b"x", claims=[claim])) == [Outcome.APPENDED]
    refused = await store.append(append("b", 0, b"x", claims=[claim]))
    assert (refused.outcome, refused.holder, refused.claim) == (Outcome.CLAIM_TAKEN, "a", "receipt-1")
    assert await outcomes(store, append("b", 0, b"x", releases=["receipt-1"])) == [Outcome.APPENDED]  # not its own
    assert await outcomes(store, append("c", 0, b"x", claims=[claim])) == [Outcome.CLAIM_TAKEN]
    assert await outcomes(store, append("a", 1, b"y", releases=["receipt-1"])) == [Outcome.APPENDED]
    assert await outcomes(store, append("c", 0, b"x", claims=[claim])) == [Outcome.APPENDED]


async def test_ranges_of_a_resource_do_not_overlap_and_are_half_open(store: EventStore) -> None:
    def booking(stream: str, start: datetime, resource: str = "therapist") -> Append:
        return append(stream, 0, b"x", claims=[RangeClaim(resource, start, start + HOUR)])

    assert await outcomes(store, booking("noon", NOON)) == [Outcome.APPENDED]
    refused = await store.append(booking("half-past", NOON + HOUR / 2))
    assert (refused.outcome, refused.holder, refused.held_until) == (Outcome.CLAIM_TAKEN, "noon", None)
    assert await outcomes(store, booking("one", NOON + HOUR)) == [Outcome.APPENDED]
    assert await outcomes(store, booking("other", NOON, "another therapist")) == [Outcome.APPENDED]
    assert list(await store.holders("therapist", NOON + HOUR)) == ["one"]
    assert list(await store.holders("therapist", NOON + HOUR - timedelta(seconds=1))) == ["noon", "one"]


async def test_an_append_with_one_claim_taken_takes_none(store: EventStore) -> None:
    both = [RangeClaim("therapist", NOON, NOON + HOUR), RangeClaim("client", NOON, NOON + HOUR)]
    await store.append(append("first", 0, b"x", claims=[both[1]]))
    refused = await store.append(append("second", 0, b"x", claims=both))
    assert (refused.outcome, refused.claim) == (Outcome.CLAIM_TAKEN, "client")
    assert await outcomes(store, append("third", 0, b"x", claims=[both[0]])) == [Outcome.APPENDED]


async def test_a_hold_tells_who_meets_it_when_it_expires_and_can_be_made_firm(store: EventStore) -> None:
    hold = RangeClaim("therapist", NOON, NOON + HOUR, expires_at=NOON - HOUR)
    firm = RangeClaim("therapist", NOON, NOON + HOUR)
    await store.append(append("held", 0, b"x", claims=[hold]))
    refused = await store.append(append("late", 0, b"x", claims=[firm]))
    assert (refused.holder, refused.held_until) == ("held", NOON - HOUR)
    assert await outcomes(store, append("held", 1, b"y", releases=["therapist"], claims=[firm])) == [Outcome.APPENDED]
    assert (await store.append(append("late", 0, b"x", claims=[firm]))).held_until is None


async def test_of_many_claims_at_once_one_wins(store: EventStore) -> None:
    slot = RangeClaim("therapist", NOON, NOON + HOUR)
    told = await outcomes(store, *(append(f"b{n}", 0, b"x", claims=[slot]) for n in range(60)))
    assert sorted(told) == [Outcome.APPENDED] + [Outcome.CLAIM_TAKEN] * 59


async def test_timers_are_set_replaced_and_cancelled_with_the_facts(store: EventStore) -> None:
    await store.append(append("a", 0, b"x", timers=[Timer("expire", NOON)]))
    await store.append(append("b", 0, b"x", timers=[Timer("expire", NOON), Timer("remind", NOON - HOUR)]))
    await store.append(append("a", 1, b"y", timers=[Timer("expire", NOON + HOUR)]))
    await store.append(append("b", 1, b"y", cancelled_timers=["remind"]))
    await store.append(append("c", 9, b"x", timers=[Timer("never", NOON - HOUR)]))  # stale

    assert list(await store.take_due_timers(NOON - HOUR, 10)) == []
    due = await store.take_due_timers(NOON, 10)
    assert list(due) == [TimerDue("b", "expire", NOON)]
    await store.finish_timer(due[0])
    assert list(await store.take_due_timers(NOON + HOUR, 10)) == [TimerDue("a", "expire", NOON + HOUR)]


async def test_finishing_a_timer_that_was_set_anew_meanwhile_keeps_it(store: EventStore) -> None:
    await store.append(append("a", 0, b"x", timers=[Timer("t", NOON)]))
    [fired] = await store.take_due_timers(NOON, 10)
    await store.append(append("a", 1, b"y", timers=[Timer("t", NOON + HOUR)]))
    await store.finish_timer(fired)
    assert list(await store.take_due_timers(NOON + HOUR, 10)) == [TimerDue("a", "t", NOON + HOUR)]


async def test_attachments_come_with_the_facts_or_not_at_all(store: EventStore) -> None:
    large = secrets.token_bytes(64 * 1024)
    told = await outcomes(
        store,
        append("a", 0, b"x", attachments=[Attachment("one", large)]),
        append("b", 3, b"x", attachments=[Attachment("two", b"lost")]),
        append("c", 0, b"x", attachments=[Attachment("three", b"kept")]),
    )
    assert told == [Outcome.APPENDED, Outcome.STALE, Outcome.APPENDED]
    assert await store.attachment("one") == large
    assert await store.attachment("two") is None
    assert await store.attachment("three") == b"kept"


@pytest.mark.parametrize(
    "bad",
    [
        append("nul\0", 0, b"x"),
        append(secrets.token_hex(5000), 0, b"x"),
        append("claims", 0, b"x", claims=[RangeClaim("therapist", NOON, NOON - HOUR)]),
        append("claims", 0, b"x", claims=[NameClaim("twice"), NameClaim("twice")]),
        append("claims", 0, b"x", claims=[RangeClaim("t", NOON, NOON + HOUR), RangeClaim("t", NOON, NOON + HOUR)]),
    ],
    ids=["a NUL", "an over-long name", "a backward range", "a name twice", "a range twice"],
)
async def test_what_no_store_can_take_fails_alone_among_127_good_ones(store: EventStore, bad: Append) -> None:
    good = [append(f"good{n}", 0, b"x") for n in range(127)]
    told = await asyncio.gather(*map(store.append, [*good[:60], bad, *good[60:]]), return_exceptions=True)
    assert isinstance(told.pop(60), Poison)
    assert [result.outcome for result in told if isinstance(result, Appended)] == [Outcome.APPENDED] * 127
    assert [r.position for r in await store.read_all(0, 200)] == list(range(1, 128))


async def test_an_append_whose_deadline_has_passed_is_not_sent(store: EventStore) -> None:
    now = asyncio.get_running_loop().time()
    with pytest.raises(DeadlinePassed):
        await store.append(append("s", 0, b"x", deadline=now - 1))
    assert await store.head() == 0


async def test_an_append_right_after_a_long_silence_wakes_its_readers(store: EventStore) -> None:
    await store.append(append("s", 0, b"x"))
    await store.wait_for_append(0.2)
    await asyncio.sleep(1.5)
    waiting = asyncio.create_task(store.wait_for_append(5))
    await asyncio.sleep(0.2)
    began = asyncio.get_running_loop().time()
    told = await asyncio.wait_for(store.append(append("s", 1, b"y")), 2)
    await waiting
    assert told.outcome is Outcome.APPENDED
    assert asyncio.get_running_loop().time() - began < 2


async def test_a_reader_keeps_its_checkpoint_under_its_name(store: EventStore) -> None:
    assert await store.checkpoint("cancel") is None
    await store.save_checkpoint("cancel", 3)
    await store.save_checkpoint("cancel", 7)
    assert await store.checkpoint("cancel") == 7
    assert await store.checkpoint("withhold") is None


async def test_waiting_for_facts_ends_after_the_time_given(store: EventStore) -> None:
    await asyncio.wait_for(store.wait_for_append(0.05), 3)
