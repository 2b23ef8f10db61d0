"""Message traces, one message after another through the deciders, against a straight-line computation.

One is made from a seed. A real one is checked too where HOLDSPACE_TRACE names its file.
"""

import os
import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

import pytest

from services.response_sla.domain import conversation, conversation_waits
from services.response_sla.domain.client_inputs import Person
from services.response_sla.domain.conversation import Conversation
from services.response_sla.domain.conversation_waits import NoteMessages
from services.response_sla.domain.figures import Group, figures
from services.response_sla.domain.inputs import SentMessage
from services.response_sla.domain.policy import Policies
from services.response_sla.domain.wait import Parties, Wait
from tests.reference import straight_line, traces
from tests.reference.traces import Line

TRACE = os.environ.get("HOLDSPACE_TRACE", "")
BEGINNING, END = datetime(1970, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
MADE_UP = traces.made_up(seed=4, lines=3_000)


def commands(lines: Iterable[Line]) -> list[NoteMessages]:
    parties: dict[frozenset[str], Parties] = {}
    sequences: dict[frozenset[str], int] = defaultdict(int)
    told = []
    for sender, receiver, seconds in lines:
        pair = frozenset((sender, receiver))
        of = parties.setdefault(pair, Parties(f"{sender}-{receiver}", sender, receiver))
        sequences[pair] += 1
        at = BEGINNING + timedelta(seconds=seconds)
        message = SentMessage(at, sequences[pair], f"{of.conversation_id}-{sequences[pair]}", sender == of.client_id)
        told.append(NoteMessages(of, [message], at))
    return told


def fold(told: Iterable[NoteMessages]) -> dict[str, list[Wait]]:
    """Returns the waits of every therapist who has one."""
    folded: dict[str, Conversation] = {}
    for command in told:
        state = folded.get(command.parties.conversation_id, Conversation())
        decision = conversation_waits.decide(command, state, client=Person(), therapist=Person(), policies=Policies())
        for fact in cast("Sequence[conversation.Fact]", decision.facts):
            state = conversation.evolve(state, fact, command.now)
        folded[command.parties.conversation_id] = state
    waits: dict[str, list[Wait]] = defaultdict(list)
    for state in folded.values():
        waits[state.parties.therapist_id].extend(state.waits)
    return waits


def summary(group: Group) -> dict[str, int | None]:
    return {"count": group.closed, "median_ms": group.median_ms, "p90_ms": group.p90_ms}


def check(lines: Sequence[Line], told: Sequence[NoteMessages]) -> dict[str, dict[str, Group]]:
    """Asserts that the figures of all therapists are those of the straight line, to the millisecond; returns them."""
    as_of = max(command.now for command in told)
    found = {therapist: figures(of, BEGINNING, END, as_of, Policies()) for therapist, of in fold(told).items()}
    assert {
        therapist: {"first": summary(of.first), "next": summary(of.next), "all": summary(of.all), "open": of.all.open}
        for therapist, of in found.items()
    } == straight_line.figures(list(lines))
    return {therapist: {"first": of.first, "next": of.next, "all": of.all} for therapist, of in found.items()}


def sizes(found: dict[str, dict[str, Group]]) -> tuple[int, int, int, int]:
    """Returns how many therapists there are, and how many first, next and open waits."""
    groups = found.values()
    closed = [sum(of[kind].closed for of in groups) for kind in ("first", "next")]
    return len(found), closed[0], closed[1], sum(of["all"].open for of in groups)


def test_the_made_up_trace_has_what_real_ones_have() -> None:
    accepted = straight_line.accepted(MADE_UP)
    last: dict[frozenset[str], int] = {}
    gaps = []
    for sender, receiver, seconds in accepted:
        pair = frozenset((sender, receiver))
        gaps.append(seconds - last.get(pair, seconds))
        last[pair] = seconds
    assert len(MADE_UP) - len(accepted) > 100  # older than the last of their pair, or to oneself
    assert len(accepted) - len(set(accepted)) > 100  # told twice, or twice in a second
    assert [seconds for *_, seconds in accepted] != sorted(seconds for *_, seconds in accepted)
    assert sum(0 < gap <= 5 for gap in gaps) > 500  # bursts
    assert sum(gap > 50 * 86_400 for gap in gaps) > 10
    assert max(gaps) > 200 * 86_400


@pytest.mark.rule("SL9", "SL14", "PL6")
def test_every_therapists_figures_of_the_made_up_trace_equal_the_straight_line_to_the_millisecond() -> None:
    lines = straight_line.accepted(MADE_UP)
    assert sizes(check(lines, commands(lines))) == (27, 56, 228, 30)


@pytest.mark.rule("SL8")
@pytest.mark.parametrize("seed", range(3))
def test_messages_told_twice_and_out_of_order_give_the_figures_of_the_straight_line(seed: int) -> None:
    lines = straight_line.accepted(MADE_UP)
    chance = random.Random(seed)
    told = commands(lines)
    late = sorted(range(len(told)), key=lambda place: place + chance.choice([0, 0, 0, 5, 400]))
    check(lines, [told[place] for place in late for _ in range(chance.choice([1, 1, 2]))])


@pytest.mark.skipif(not Path(TRACE).is_file(), reason="HOLDSPACE_TRACE names no file; the made-up one is checked")
@pytest.mark.rule("SL9", "SL14", "PL6")
def test_every_therapists_figures_of_a_real_trace_equal_the_straight_line_to_the_millisecond() -> None:
    lines = straight_line.accepted(straight_line.read(Path(TRACE)))
    found = check(lines, commands(lines))
    assert (len(lines), *sizes(found)) == (59_835, 1_800, 6_458, 10_495, 10_180)
