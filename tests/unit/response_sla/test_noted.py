"""What a conversation remembers of its messages, and which of them counts after all the others."""

from datetime import UTC, datetime, timedelta

import pytest

from services.response_sla.domain.inputs import SentMessage, Source
from services.response_sla.domain.noted import Noted, with_one

START = datetime(2026, 3, 2, tzinfo=UTC)
RESTORED = Source("messaging/cell-1", 2)


def hour(hours: float) -> datetime:
    return START + timedelta(hours=hours)


def message(sequence: int, at: float, source: Source | None = None, *, imported: bool = False) -> SentMessage:
    of = {} if source is None else {"source": source}
    return SentMessage(hour(at), sequence, f"fact-{sequence}-{at}", from_client=True, imported=imported, **of)


def noted(*messages: SentMessage) -> Noted:
    found = Noted()
    for each in messages:
        found = found.add(each)
    return found


@pytest.mark.parametrize(
    ("runs", "sequence", "after"),
    [
        ((), 5, ((5, 5),)),
        (((1, 4),), 5, ((1, 5),)),
        (((6, 9),), 5, ((5, 9),)),
        (((1, 4), (6, 9)), 5, ((1, 9),)),
        (((1, 3), (7, 9)), 5, ((1, 3), (5, 5), (7, 9))),
        (((1, 2), (4, 4), (8, 9)), 3, ((1, 4), (8, 9))),
        (((1, 2), (5, 6), (8, 9)), 7, ((1, 2), (5, 9))),
    ],
)
def test_sequences_that_touch_are_one_run(
    runs: tuple[tuple[int, int], ...], sequence: int, after: tuple[tuple[int, int], ...]
) -> None:
    assert with_one(runs, sequence) == after


def test_a_message_is_known_by_its_sequence_and_by_who_told_it() -> None:
    found = noted(message(1, 0), message(2, 1))
    assert found.has(message(1, 0))
    assert not found.has(message(3, 0))
    assert not found.has(message(1, 0, RESTORED))


@pytest.mark.rule("SL8")
def test_a_message_never_counts_before_one_that_was_sent_earlier_and_an_imported_one_keeps_its_time() -> None:
    found = noted(message(1, 10))
    assert found.counts_at(message(2, 9)) == hour(10)
    assert found.counts_at(message(2, 11)) == hour(11)
    assert found.counts_at(message(2, 9, imported=True)) == hour(9)
    assert noted(message(1, 10, imported=True)).counts_at(message(2, 9)) == hour(9)


@pytest.mark.rule("SL8")
def test_what_follows_in_sequence_and_not_in_time_before_the_others_is_behind_them() -> None:
    assert Noted().is_behind(message(7, 0))
    found = noted(message(3, 10))
    assert found.is_behind(message(4, 10))
    assert found.is_behind(message(4, 9))  # It counts at the time of the one before it.
    assert not found.is_behind(message(3, 11))
    assert not found.is_behind(message(2, 11))


@pytest.mark.rule("SL8", "PL6")
def test_an_imported_message_is_behind_the_others_by_its_time_alone() -> None:
    found = noted(message(3, 10, imported=True))
    assert found.is_behind(message(4, 10, imported=True))
    assert not found.is_behind(message(4, 9, imported=True))
    assert found.is_behind(message(2, 11, imported=True))
    assert not found.is_behind(message(2, 10, imported=True))
    assert not found.is_behind(message(4, 9))


@pytest.mark.rule("SL8")
def test_where_two_epochs_told_messages_none_is_taken_to_be_behind() -> None:
    assert not noted(message(1, 0)).is_behind(message(2, 5, RESTORED))
    assert not noted(message(1, 0), message(1, 0, RESTORED)).is_behind(message(2, 5, RESTORED))
