"""Compares what callers were told with what the platform holds. It uses none of the services' code."""

from collections.abc import Callable, Iterator

from tests.faults.checks.answers import (
    a_repeated_request_has_one_answer,
    a_stop_answers_what_is_in_flight,
    every_call_ends_with_a_reason,
    every_intention_is_answered,
)
from tests.faults.checks.bookings import (
    a_hold_is_confirmed_in_time,
    no_booking_of_a_suspended_person_stands,
    no_two_bookings_overlap,
)
from tests.faults.checks.effects import (
    a_request_has_one_effect,
    sequences_have_no_gaps,
    topics_hold_what_stores_hold,
    what_was_accepted_is_stored_once,
)
from tests.faults.checks.gates import (
    copies_equal_their_source,
    nothing_is_booked_past_a_gate,
    nothing_is_sent_past_a_suspension,
    standings_reach_response_sla,
    what_slipped_in_is_withheld,
)
from tests.faults.checks.waits import waits_equal_the_reference
from tests.faults.evidence import Evidence
from tests.faults.history import History
from tests.faults.violation import Violation

Check = Callable[[History, Evidence], Iterator[Violation]]

ALWAYS: tuple[Check, ...] = (
    every_call_ends_with_a_reason,
    every_intention_is_answered,
    a_repeated_request_has_one_answer,
    a_stop_answers_what_is_in_flight,
    what_was_accepted_is_stored_once,
    a_request_has_one_effect,
    sequences_have_no_gaps,
    nothing_is_sent_past_a_suspension,
    nothing_is_booked_past_a_gate,
    no_two_bookings_overlap,
    a_hold_is_confirmed_in_time,
)
"""What holds at every instant."""

IN_THE_END: tuple[Check, ...] = (
    topics_hold_what_stores_hold,
    copies_equal_their_source,
    standings_reach_response_sla,
    what_slipped_in_is_withheld,
    no_booking_of_a_suspended_person_stands,
    waits_equal_the_reference,
)
"""What holds once everything that was decided has arrived."""


def violations(history: History, evidence: Evidence) -> list[Violation]:
    return [found for check in (*ALWAYS, *IN_THE_END) for found in check(history, evidence)]


def has_settled(history: History, evidence: Evidence) -> bool:
    """Says whether everything that was decided has arrived everywhere."""
    return not any(True for check in IN_THE_END for _ in check(history, evidence))
