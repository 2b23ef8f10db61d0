"""What the topics say beside what is known here."""

from dataclasses import replace
from typing import cast

import pytest

from services.response_sla.domain import client_inputs
from services.response_sla.domain.client_inputs import NoteRestated, person_stream
from services.response_sla.domain.conversation import conversation_stream
from services.response_sla.domain.conversation_waits import NoteMessages
from services.response_sla.domain.inputs import PersonInput, SentMessage, Source
from services.response_sla.domain.policy import Policies
from services.response_sla.domain.wait import WaitState
from services.response_sla.rebuilding import Known, Told, compare, no_longer_sent
from tests.unit.response_sla.histories import NOW, Arrivals
from tests.unit.response_sla.story import PARTIES, hour, suspended

MAIN = Source("messaging/main", 1)


def sent(sequence: int, *, from_client: bool = True, epoch: int = 1) -> SentMessage:
    source = replace_epoch(epoch)
    return SentMessage(hour(sequence), sequence, f"{epoch}-{sequence}", from_client, source=source)


def replace_epoch(epoch: int) -> Source:
    return MAIN._replace(epoch=epoch)


def topics(messages: list[SentMessage], about_client: list[PersonInput]) -> Told:
    told = Told()
    told.take(NoteMessages(PARTIES, messages, NOW))
    told.about[PARTIES.client_id].extend(about_client)
    return told


def known(arrivals: Arrivals) -> Known:
    return Known(
        {conversation_stream(PARTIES.conversation_id): arrivals.conversation},
        {person_stream(PARTIES.client_id): arrivals.client},
        Policies(),
    )


@pytest.mark.rule("SL6")
def test_where_topics_and_store_agree_there_is_no_difference() -> None:
    arrivals = Arrivals()
    arrivals.messages(sent(1), sent(2, from_client=False))
    arrivals.client_input(suspended(5))
    found = compare(topics([sent(1), sent(2, from_client=False), sent(1)], [suspended(5)]), known(arrivals), NOW)
    assert (found.missing, found.missing_about, found.only_here, found.about_only_here, found.others) == (
        [],
        [],
        [],
        0,
        [],
    )


@pytest.mark.rule("SL6", "SL8")
def test_what_is_missing_makes_other_waits_and_the_commands_for_it_make_them_those_of_the_topics() -> None:
    arrivals = Arrivals()
    arrivals.messages(sent(1))
    told = topics([sent(1), sent(2, from_client=False), sent(3)], [suspended(5)])
    found = compare(told, known(arrivals), NOW)
    assert found.others == [PARTIES]
    for about in found.missing_about:
        arrivals.client_input(about.told)
    for command in found.missing:
        arrivals.messages(*command.messages)
    after = compare(told, known(arrivals), NOW)
    assert (after.missing, after.missing_about, after.others) == ([], [], [])
    assert [wait.state for wait in arrivals.conversation.waits] == [WaitState.ANSWERED, WaitState.VOIDED]


def test_what_only_is_here_is_named_and_stays() -> None:
    arrivals = Arrivals()
    arrivals.messages(sent(1), sent(2))
    arrivals.client_input(suspended(5))
    found = compare(topics([sent(1)], []), known(arrivals), NOW)
    assert [message.sequence for _, message in found.only_here] == [2]
    assert found.about_only_here == 1
    assert not found.missing


def test_messages_that_count_and_that_the_store_which_told_them_holds_no_more_are_named() -> None:
    arrivals = Arrivals()
    arrivals.messages(sent(1), sent(2), sent(3), sent(4))
    arrivals.messages(sent(4, epoch=2), replace(sent(5, epoch=2), source=Source("messaging/other", 1)))
    lost = no_longer_sent(known(arrivals), MAIN.name, {"1-1", "1-2", "2-4"})
    assert [(message.sequence, message.source.epoch) for _, message in lost] == [(3, 1)]


def test_a_standing_that_its_source_lost_is_not_missing() -> None:
    before = replace(suspended(5), version=3, source=MAIN)
    arrivals = Arrivals()
    arrivals.messages(sent(1))
    arrivals.client_input(before)
    for fact in client_inputs.decide_restated(
        NoteRestated(PARTIES.client_id, replace_epoch(2), 2, NOW), arrivals.client
    ).facts:
        arrivals.client = client_inputs.evolve(arrivals.client, cast("client_inputs.Fact", fact), NOW)
    found = compare(topics([sent(1)], [before]), known(arrivals), NOW)
    assert (found.missing_about, found.others) == ([], [])
    kept = compare(topics([sent(1)], [replace(before, version=2, fact_id="kept")]), known(arrivals), NOW)
    assert [missing.told.fact_id for missing in kept.missing_about] == ["kept"]
