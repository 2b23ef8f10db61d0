"""A real message trace, one message after another through the deciders, against a straight-line computation."""

import os
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
from tests.reference import straight_line

TRACE = os.environ.get("HOLDSPACE_TRACE", "")
BEGINNING, END = datetime(1970, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)

pytestmark = pytest.mark.skipif(not Path(TRACE).is_file(), reason="HOLDSPACE_TRACE names no file")


def commands(lines: Iterable[tuple[str, str, int]]) -> list[NoteMessages]:
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


@pytest.mark.rule("SL9", "SL14", "PL6")
def test_every_therapists_figures_equal_the_straight_line_to_the_millisecond() -> None:
    lines = straight_line.accepted(straight_line.read(Path(TRACE)))
    told = commands(lines)
    as_of = told[-1].now
    found = {therapist: figures(of, BEGINNING, END, as_of, Policies()) for therapist, of in fold(told).items()}
    assert {
        therapist: {"first": summary(of.first), "next": summary(of.next), "all": summary(of.all), "open": of.all.open}
        for therapist, of in found.items()
    } == straight_line.figures(lines)
    assert len(lines) == 59_835
    assert len(found) == 1_800
    assert sum(of.first.closed for of in found.values()) == 6_458
    assert sum(of.next.closed for of in found.values()) == 10_495
    assert sum(of.all.open for of in found.values()) == 10_180
