"""The checker can fail: each invariant, seen broken by a history in which one thing is wrong."""

from dataclasses import replace

import pytest

from holdspace.kernel.v1.gate_pb2 import Phase
from holdspace.messaging.v1.service_pb2 import SendMessageRequest, SendMessageResponse
from holdspace.moderation.v1.events_pb2 import ClientReinstated
from kernel.facts import timestamp
from tests.faults import checker
from tests.unit.faults.histories import CONVERSATION, GOOD, SUSPENDED, Made, answered, at, message, refused

OPEN, CLOSED, VOIDED, EXCLUDED = 1, 2, 3, 4
STREAM = f"conversation-{CONVERSATION}"


def found(made: Made) -> list[tuple[str, str]]:
    return [(violation.invariant, violation.found) for violation in checker.violations(made.history, made.evidence)]


def invariants(made: Made) -> set[str]:
    return {invariant for invariant, _ in found(made)}


@pytest.fixture
def made() -> Made:
    """A question and its answer, a booking of an assured client, somebody else suspended: nothing is wrong."""
    made = Made()
    made.send(1, 10)
    made.send(2, 20, by_client=False)
    made.list_wait(1, 10, CLOSED, ended_at=timestamp(at(20)), answering_sequence=2)
    made.assure("client", 30)
    made.hold("b1", "client", "therapist", 24, 40)
    made.confirm("b1", "client", "therapist", 50)
    made.suspend("abuser", 60)
    return made


def test_a_right_history_has_no_violation(made: Made) -> None:
    assert found(made) == []


@pytest.mark.parametrize(
    ("code", "reason", "told"),
    [
        ("INTERNAL", "INTERNAL", "INTERNAL INTERNAL"),
        ("UNKNOWN", "", "UNKNOWN without a reason"),
        ("CANCELLED", "", "CANCELLED without a reason"),
        ("FAILED_PRECONDITION", "WHATEVER", "WHATEVER is declared nowhere"),
        ("NOT_FOUND", "SENDER_SUSPENDED", "SENDER_SUSPENDED with NOT_FOUND, declared with FAILED_PRECONDITION"),
    ],
)
def test_a_call_that_ends_in_no_way_a_caller_can_act_on_is_reported(
    made: Made, code: str, reason: str, told: str
) -> None:
    made.history.intentions[0].attempts.insert(0, refused(code, reason))
    assert ("answers", told) in found(made)


def test_a_server_that_is_gone_may_be_silent_but_the_request_is_answered_in_the_end(made: Made) -> None:
    made.history.intentions[0].attempts.insert(0, refused("UNAVAILABLE"))
    assert found(made) == []
    made.asked("messaging", "SendMessage", SendMessageRequest(request_id="r9"), refused("UNAVAILABLE", "GATE_STALE"))
    assert found(made) == [("answered in the end", "UNAVAILABLE GATE_STALE, 1 times")]


def test_a_call_in_flight_at_a_stop_needs_an_answer_or_a_reason(made: Made) -> None:
    made.history.intentions[0].attempts.insert(0, refused("UNAVAILABLE", began=1, ended=3))
    made.history.stops.append((2, "messaging"))
    assert found(made) == [("answers at a stop", "UNAVAILABLE without a reason")]


def test_a_repeated_request_with_two_answers_is_reported(made: Made) -> None:
    made.history.intentions[0].attempts.append(
        answered(SendMessageResponse(conversation_id=CONVERSATION, message_id="m9", sequence=9))
    )
    assert invariants(made) == {"one answer"}


def test_an_accepted_message_that_is_not_in_the_store_is_reported(made: Made) -> None:
    made.asked("messaging", "SendMessage", SendMessageRequest(request_id="r3"), answered(SendMessageResponse()))
    assert found(made) == [("accepted and stored", "0 facts")]


def test_an_accepted_message_with_another_sequence_than_stored_is_reported(made: Made) -> None:
    made.history.intentions[0].answer.sequence = 7
    assert found(made) == [("accepted and stored", "answered otherwise than stored: sequence")]


def test_a_request_with_two_effects_is_reported(made: Made) -> None:
    made.store("messaging", STREAM, message(3), 21, "r1")
    made.store("messaging", STREAM, message(4, by_client=False), 21, "r2")
    assert {"one effect", "accepted and stored"} <= invariants(made)


def test_a_refused_request_with_an_effect_is_reported(made: Made) -> None:
    request = SendMessageRequest(request_id="r3")
    made.asked("messaging", "SendMessage", request, refused("FAILED_PRECONDITION", "SENDER_SUSPENDED"))
    made.store("messaging", STREAM, message(3, by_client=False), 21, "r3")
    assert found(made) == [("one effect", "refused (SENDER_SUSPENDED), and MessageSent")]


def test_a_gap_in_the_messages_of_a_conversation_is_reported(made: Made) -> None:
    made.store("messaging", STREAM, message(4, by_client=False), 21)
    assert found(made) == [("sequences", "messages 4 in place 3 of 3")]


def test_a_gap_in_the_versions_of_a_stream_is_reported(made: Made) -> None:
    lost = made.stores["messaging"].pop(0)
    made.topics["holdspace.messaging.v1"] = [
        record for record in made.topics["holdspace.messaging.v1"] if record.position != lost.position
    ]
    assert ("sequences", "versions 2 in place 1 of 1") in found(made)


def test_a_fact_that_is_not_on_its_topic_is_reported(made: Made) -> None:
    made.topics["holdspace.messaging.v1"].pop()
    assert found(made) == [("published", "missing on the topic")]


def test_what_a_topic_made_anew_held_before_everything_was_published_again_is_no_violation(made: Made) -> None:
    records = made.topics["holdspace.messaging.v1"]
    last = max(records, key=lambda record: record.position)
    made.topics["holdspace.messaging.v1"] = [replace(last, offset=-1), *records]
    assert ("published", "out of order") in found(made)
    made.republished.add("messaging")
    assert found(made) == []


def test_a_record_of_which_the_store_knows_nothing_is_reported(made: Made) -> None:
    made.stores["messaging"] = [replace(row) for row in made.stores["messaging"] if row.position != 2]
    assert ("published", "on the topic and not in the store") in found(made)


def test_other_bytes_on_the_topic_are_reported(made: Made) -> None:
    records = made.topics["holdspace.messaging.v1"]
    records[1] = replace(records[1], fact=records[0].fact)
    assert {told for _, told in found(made)} == {"other bytes on the topic", "missing on the topic"}


def test_records_out_of_order_are_reported_and_repeated_ones_are_not(made: Made) -> None:
    records = made.topics["holdspace.messaging.v1"]
    records.append(replace(records[0], offset=2))
    assert found(made) == []
    records.pop(0)
    assert found(made) == [("published", "out of order")]


def test_a_message_sent_after_the_copy_of_its_senders_suspension_is_reported(made: Made) -> None:
    made.suspend("client", 70)
    made.cancel("b1", "client", "therapist", 71)
    made.send(3, 80)
    assert ("sent past a suspension", "message 3, client closed") in found(made)


def test_a_message_to_a_suspended_therapist_is_reported_whatever_its_side(made: Made) -> None:
    made.suspend("therapist", 70)
    made.cancel("b1", "client", "therapist", 71)
    made.send(3, 80)
    assert ("sent past a suspension", "message 3, therapist closed") in found(made)


def test_a_suspension_that_ended_by_time_lets_messages_pass(made: Made) -> None:
    ending = [Phase(state="SUSPENDED", closed=True, until=timestamp(at(75))), *GOOD]
    made.copy("messaging", "standing", "other", ending, 70, 1)
    made.send(3, 80, by_client=False)
    assert "sent past a suspension" not in invariants(made)


def test_a_booking_confirmed_without_an_assured_age_is_reported(made: Made) -> None:
    made.hold("b2", "other", "elsewhere", 24, 70)
    made.confirm("b2", "other", "elsewhere", 80)
    assert found(made) == [("booked past a gate", "BookingConfirmed, age unknown")]


def test_a_booking_confirmed_past_a_suspension_is_reported(made: Made) -> None:
    made.assure("other", 61)
    made.hold("b2", "other", "elsewhere", 24, 62)
    made.suspend("elsewhere", 70)
    made.confirm("b2", "other", "elsewhere", 80)
    assert ("booked past a gate", "BookingConfirmed, elsewhere closed") in found(made)


@pytest.mark.parametrize(
    ("client", "therapist", "whose"),
    [("client", "elsewhere", "client"), ("other", "therapist", "therapist"), ("other", "client", "client")],
)
def test_two_bookings_of_one_person_at_a_time_are_reported_whatever_the_roles(
    made: Made, client: str, therapist: str, whose: str
) -> None:
    made.hold("b2", client, therapist, 24, 70)
    assert found(made) == [("overlap", f"SlotHeld: {whose} has b1 at that time")]


def test_a_slot_that_was_given_up_can_be_booked_again(made: Made) -> None:
    made.cancel("b1", "client", "therapist", 60)
    made.hold("b2", "other", "therapist", 24, 70)
    assert found(made) == []


def test_a_hold_confirmed_after_it_expired_is_reported(made: Made) -> None:
    made.assure("other", 61)
    made.hold("b2", "other", "elsewhere", 24, 70)
    made.confirm("b2", "other", "elsewhere", 671)
    assert invariants(made) == {"confirmed in time"}


def test_a_booking_of_a_suspended_person_that_stands_is_reported(made: Made) -> None:
    made.suspend("client", 70)
    assert ("suspended and booked", "client is suspended and the booking stands") in found(made)


def test_a_copy_that_never_came_is_reported(made: Made) -> None:
    made.suspend("other", 70, copied=False)
    assert [invariant for invariant, _ in found(made)] == ["copies", "copies", "copies"]


def test_a_copy_that_says_otherwise_than_its_source_is_reported(made: Made) -> None:
    made.copy("messaging", "standing", "abuser", GOOD, 70, 1)
    assert found(made) == [("copies", "version 1 says otherwise than the copy of 1/1")]


def test_a_copy_of_an_older_version_is_reported(made: Made) -> None:
    row = made.store("moderation", "client-abuser", ClientReinstated(client_id="abuser", standing=GOOD), 70)
    assert row.version == 2
    assert {told for _, told in found(made)} == {
        "version 2 says otherwise than the copy of 1/1",
        "version 2 missing",
    }


def test_a_copy_of_what_was_never_decided_is_reported(made: Made) -> None:
    made.copy("scheduling", "standing", "nobody", SUSPENDED, 70, 1)
    assert found(made) == [("copies", "its source never decided it")]


def test_a_copy_of_what_a_restored_source_lost_is_void(made: Made) -> None:
    made.copy("scheduling", "standing", "nobody", [], 70, 0)
    assert found(made) == [("copies", "its source never decided it")]
    made.restored["moderation"] = 1
    assert found(made) == []
    made.copy("scheduling", "standing", "nobody", SUSPENDED, 71, 1)
    assert found(made) == [("copies", "its source never decided it")]


def test_what_a_restored_source_had_published_and_lost_is_no_violation(made: Made) -> None:
    made.stores["messaging"].pop(1)
    made.history.lost.add("r2")
    assert "published" in invariants(made)
    made.restored["messaging"], made.epochs["messaging"] = 1, 2
    assert invariants(made) == {"waits"}  # The reference counts what the store has.


def test_a_message_that_slipped_in_and_is_not_withheld_is_reported(made: Made) -> None:
    made.send(3, 69.5)
    made.suspend("client", 70)
    made.cancel("b1", "client", "therapist", 71)
    made.list_wait(3, 69.5, VOIDED, kind=2)
    assert ("withheld", "client is suspended") in found(made)
    made.withhold(3, 71)
    assert "withheld" not in invariants(made)


def test_a_wait_that_is_missing_or_listed_otherwise_is_reported(made: Made) -> None:
    made.send(3, 60)
    assert [each[0] for each in found(made)] == ["waits"]
    made.list_wait(3, 60, OPEN, kind=1)
    assert [each[0] for each in found(made)] == ["waits", "waits"]
    made.waits["therapist"].pop()
    made.list_wait(3, 60, OPEN, kind=2)
    assert found(made) == []


def test_a_wait_voided_by_a_suspension_and_one_excluded_by_a_report_are_known_to_the_reference() -> None:
    made = Made()
    made.send(1, 10)
    made.list_wait(1, 10, EXCLUDED)
    made.report("client", "therapist", 20)
    assert found(made) == []
    made.waits.clear()
    made.suspend("client", 30)
    made.list_wait(1, 10, VOIDED, ended_at=timestamp(at(29)))
    assert invariants(made) == {"waits"}
    made.waits.clear()
    made.list_wait(1, 10, EXCLUDED, ended_at=timestamp(at(29)))
    assert found(made) == []
