"""After a restore of messaging or moderation its places are used again, and what it lost no longer counts."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdspace.moderation.v1.events_pb2 import SEVERITY_SPAM, ClientReported, ClientSuspended
from kernel.consumers.records import ForeignFact
from kernel.gates import phase
from services.response_sla.domain.inputs import PersonInput, SentMessage, Source
from services.response_sla.domain.surviving import surviving
from services.response_sla.domain.timeline import Inputs
from services.response_sla.domain.wait import Answered, Voided
from services.response_sla.domain.waits import waits
from tests.unit.response_sla.consuming import NOON, Consuming, message, told
from tests.unit.response_sla.histories import Arrivals, pasts, shuffled_and_doubled
from tests.unit.response_sla.story import PARTIES, POLICIES, hour

T = TypeVar("T", SentMessage, PersonInput)
Placed = Callable[[T, int], T]


def suspended(version: int, minutes: float, *, epoch: int = 1, person: str = "client") -> ForeignFact:
    standing = [phase("SUSPENDED", closed=True)]
    payload = ClientSuspended(client_id=person, standing=standing)
    at = NOON + timedelta(minutes=minutes)
    return told(payload, f"s-{epoch}-{version}", at, version, service="moderation", epoch=epoch)


@pytest.mark.rule("SL8")
async def test_a_reply_at_a_sequence_that_a_restore_lost_ends_the_wait() -> None:
    consuming = Consuming()
    await consuming.take(message(1, 0), message(2, 10), message(3, 20))
    await consuming.take(message(2, 60, by="therapist", epoch=2))
    (wait,) = await consuming.waits("one")
    assert wait.ending == Answered(NOON + timedelta(minutes=60), 2)


@pytest.mark.rule("SL8", "SL4")
async def test_a_suspension_at_a_version_that_a_restore_lost_voids_the_wait() -> None:
    consuming = Consuming("one")
    await consuming.take(message(1, 0))
    report = ClientReported(client_id="client", report_id="r1", reporter_id="other", severity=SEVERITY_SPAM)
    await consuming.take(told(report, "r-1-2", NOON + timedelta(minutes=5), 2, service="moderation"))
    await consuming.take(suspended(2, 60, epoch=2))
    (wait,) = await consuming.waits("one")
    assert isinstance(wait.ending, Voided)


@pytest.mark.rule("SL8", "SL4")
async def test_a_suspension_that_a_restore_lost_voids_nothing_once_its_version_is_told_anew() -> None:
    consuming = Consuming("one")
    await consuming.take(message(1, 0), suspended(2, 5))
    report = ClientReported(client_id="client", report_id="r1", reporter_id="other", severity=SEVERITY_SPAM)
    await consuming.take(told(report, "r-2-2", NOON + timedelta(minutes=50), 2, service="moderation", epoch=2))
    (wait,) = await consuming.waits("one")
    assert wait.ending is None


@pytest.mark.rule("SL8", "SL4")
async def test_a_suspension_that_a_restore_lost_voids_nothing_though_nothing_is_told_in_its_place() -> None:
    consuming = Consuming("one")
    await consuming.take(message(1, 0), suspended(2, 5))
    await consuming.restated("client", 0)
    (wait,) = await consuming.waits("one")
    assert wait.ending is None
    await consuming.take(suspended(2, 5))  # It was parked, and is taken again.
    (wait,) = await consuming.waits("one")
    assert wait.ending is None


@pytest.mark.rule("SL8", "SL4")
async def test_a_suspension_that_the_restored_source_tells_anew_still_voids_the_wait() -> None:
    consuming = Consuming("one")
    await consuming.take(message(1, 0), suspended(2, 5))
    await consuming.restated("client", 2)
    (wait,) = await consuming.waits("one")
    assert isinstance(wait.ending, Voided)


@pytest.mark.rule("SL4")
async def test_a_suspension_of_the_therapist_voids_the_waits_open_with_them() -> None:
    consuming = Consuming("one")
    await consuming.take(message(1, 0), suspended(2, 5, person="therapist"))
    (wait,) = await consuming.waits("one")
    assert isinstance(wait.ending, Voided)


@pytest.mark.rule("SL4", "PL9")
async def test_a_report_comes_after_the_message_it_names_whatever_the_clocks_say() -> None:
    consuming = Consuming("one")
    await consuming.take(message(1, 0), message(2, 1, by="therapist"), message(3, 10))
    report = ClientReported(
        client_id="client",
        report_id="r1",
        reporter_id="therapist",
        severity=SEVERITY_SPAM,
        conversation_id="one",
        last_message_sequence=3,
    )
    await consuming.take(told(report, "r", NOON + timedelta(minutes=9.95), 2, service="moderation"))
    _, wait = await consuming.waits("one")
    assert isinstance(wait.ending, Voided)


@pytest.mark.rule("SL1", "PL9")
async def test_a_reply_never_comes_before_the_message_it_answers() -> None:
    consuming = Consuming()
    await consuming.take(message(1, 60), message(2, 10, by="therapist"))
    (wait,) = await consuming.waits("one")
    assert wait.ending == Answered(NOON + timedelta(minutes=60), 2)


@st.composite
def restored(draw: st.DrawFn, items: Sequence[T], placed: Placed[T]) -> tuple[list[T], list[T]]:
    """Returns what a store told that was restored up to twice, and what it holds in the end.

    Each epoch writes at least one fact after what the restore kept, and may tell again the last of what it kept.
    """
    left, told, held = list(items), list[T](), list[T]()
    for epoch in range(1, draw(st.integers(2, 3)) + 1):
        if not left:
            break
        source = Source("messaging/main", epoch)
        held = held[: draw(st.integers(0, len(held)))]
        told += [replace(item, source=source) for item in held[draw(st.integers(0, len(held))) :]]
        writes = draw(st.integers(1, len(left)))
        new = [
            replace(placed(item, len(held) + number), source=source, fact_id=f"{item.fact_id}-{epoch}")
            for number, item in enumerate(left[:writes], 1)
        ]
        held, told, left = held + new, told + new, left[writes:]
    return told, held


def at_sequence(sent: SentMessage, sequence: int) -> SentMessage:
    return replace(sent, sequence=sequence)


def at_version(said: PersonInput, version: int) -> PersonInput:
    return replace(said, version=version)


@st.composite
def restored_pasts(draw: st.DrawFn) -> tuple[list[SentMessage | PersonInput], Inputs]:
    """Returns facts as they arrive, and what they leave."""
    past = draw(pasts())
    messages, messages_held = draw(restored(past.messages, at_sequence))
    said, said_held = draw(restored(past.client_inputs, at_version))
    told: list[SentMessage | PersonInput] = [*messages, *said]
    arriving = shuffled_and_doubled(draw, told) if draw(st.booleans()) else told
    return arriving, Inputs(messages_held, said_held)


@pytest.mark.rule("SL8")
@settings(max_examples=200)
@given(restored_pasts())
def test_whatever_way_the_facts_of_all_epochs_arrive_the_waits_are_those_of_the_surviving_history(
    restored_past: tuple[list[SentMessage | PersonInput], Inputs],
) -> None:
    arriving, held = restored_past
    arrivals = Arrivals()
    for item in arriving:
        if isinstance(item, SentMessage):
            arrivals.messages(item)
        else:
            arrivals.client_input(item)
            arrivals.evaluation()
    assert arrivals.conversation.waits == waits(PARTIES, held, POLICIES)


@pytest.mark.rule("SL8")
def test_what_a_restore_kept_and_tells_again_changes_nothing() -> None:
    arrivals = Arrivals()
    kept = [SentMessage(hour(n), n, f"m{n}", from_client=n != 3, source=Source("m/main", 1)) for n in (1, 2, 3)]
    arrivals.messages(*kept)
    before = len(arrivals.stated)
    for sent in kept:
        arrivals.messages(replace(sent, source=Source("m/main", 2)))
    assert {type(fact).__name__ for fact in arrivals.stated[before:]} == {"MessageNoted"}


@pytest.mark.rule("SL8")
def test_a_late_fact_of_a_former_epoch_counts_only_below_what_the_next_was_the_first_to_tell() -> None:
    def sent(sequence: int, epoch: int) -> SentMessage:
        source = Source("m/main", epoch)
        return SentMessage(hour(sequence), sequence, f"{epoch}-{sequence}", from_client=True, source=source)

    told_late = [sent(1, 1), sent(3, 2), sent(2, 1), sent(3, 1), sent(4, 1)]
    kept = surviving(told_late, lambda item: item.sequence)
    assert {item.fact_id for item in kept} == {"1-1", "1-2", "2-3"}
