"""What is made of other services' facts before any rule is applied, and that none of them is overlooked."""

from datetime import UTC, datetime
from typing import Any

import pytest
from google.protobuf.message import Message

from holdspace.kernel.v1.envelope_pb2 import Envelope
from holdspace.messaging.v1 import events_pb2 as messaging
from holdspace.moderation.v1 import events_pb2 as moderation
from kernel.consumers.records import ForeignFact
from kernel.facts import FactTypes, timestamp
from kernel.gates import Span, phase
from services.response_sla.domain.client_inputs import NoteAboutPerson
from services.response_sla.domain.conversation_waits import NoteMessages
from services.response_sla.domain.inputs import FiledReport, ReportDecision, SentMessage, Source, StandingChange
from services.response_sla.domain.wait import Parties
from services.response_sla.reactions import IGNORED, STANDING, facts, lanes, standings

SOURCE = Source("service/main", 3)
AT, NOW = datetime(2026, 3, 1, 9, tzinfo=UTC), datetime(2026, 3, 1, 10, tzinfo=UTC)
BY_TYPE = {reaction.fact: reaction.react for reaction in (*facts(), *standings())}


def foreign(payload: Message, version: int = 7) -> ForeignFact:
    envelope = Envelope(id="f1", type=payload.DESCRIPTOR.full_name, occurred_at=timestamp(AT))
    return ForeignFact(envelope, payload, "topic", 0, 0, "service/main/3", 1, "stream", version, AT)


def reaction_to(payload: Any) -> list[Any]:
    return list(BY_TYPE[type(payload)](foreign(payload), NOW))


@pytest.mark.rule("PL1")
def test_every_type_on_the_topics_that_are_read_is_handled_or_ignored() -> None:
    types = list(FactTypes(messaging, moderation))
    read = {each.topic for each in types if each.message in BY_TYPE}
    assert {each.message for each in types if each.topic in read} == {*BY_TYPE, *IGNORED}


@pytest.mark.rule("PL6")
def test_imported_facts_reach_the_figures() -> None:
    assert all(reaction.imported for reaction in (*facts(), *lanes()))


@pytest.mark.rule("SL2", "MS10")
@pytest.mark.parametrize(
    ("sender", "expects", "automatic", "expected"),
    [
        (messaging.SIDE_CLIENT, messaging.EXPECTATION_REPLY, False, (True, True, False)),
        (messaging.SIDE_CLIENT, messaging.EXPECTATION_BEFORE_SESSION, False, (True, False, False)),
        (messaging.SIDE_THERAPIST, messaging.EXPECTATION_NONE, True, (False, False, True)),
    ],
)
def test_a_message_is_noted_with_its_own_time(
    sender: Any, expects: Any, automatic: bool, expected: tuple[bool, bool, bool]
) -> None:
    sent = messaging.MessageSent(
        conversation_id="c1", client_id="client", therapist_id="t1", sequence=3, sender=sender, expects=expects
    )
    sent.automatic = automatic
    message = SentMessage(AT, 3, "f1", *expected, source=SOURCE)
    assert reaction_to(sent) == [NoteMessages(Parties("c1", "client", "t1"), [message], NOW)]


def test_a_report_and_its_decision_are_noted_with_their_place_in_the_clients_stream() -> None:
    about = {"client_id": "client", "report_id": "r1", "reporter_id": "t1"}
    report = FiledReport(AT, 7, "f1", "r1", "t1", "c1", 4, SOURCE)
    reported = moderation.ClientReported(client_id="client", report_id="r1", reporter_id="t1")
    reported.conversation_id, reported.last_message_sequence = "c1", 4
    assert reaction_to(reported) == [NoteAboutPerson("client", report, NOW)]
    decision = ReportDecision(AT, 7, "f1", "r1", "t1", moderation.FINDING_DISMISSED, SOURCE)
    decided = moderation.ReportDecided(**about, finding=moderation.FINDING_DISMISSED)
    assert reaction_to(decided) == [NoteAboutPerson("client", decision, NOW)]


@pytest.mark.rule("SL4", "MO4")
@pytest.mark.parametrize("fact", STANDING)
def test_only_a_reinstatement_is_a_lift_and_every_measure_is_noted_with_the_reports_it_rests_on(fact: Any) -> None:
    changed = fact(client_id="client", standing=[phase("BRAKED", AT), phase("GOOD")])
    lifts = fact is moderation.ClientReinstated
    names_reports = "report_ids" in fact.DESCRIPTOR.fields_by_name
    if names_reports:
        changed.report_ids.append("r1")
    change = StandingChange(
        at=AT,
        version=7,
        fact_id="f1",
        phases=(Span("BRAKED", AT), Span("GOOD")),
        lifted=lifts,
        report_ids=("r1",) if names_reports and not lifts else (),
        source=SOURCE,
    )
    assert reaction_to(changed) == [NoteAboutPerson("client", change, NOW)]
