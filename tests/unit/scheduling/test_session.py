"""How sessions and bookings that nobody started come to their end."""

from dataclasses import replace
from datetime import timedelta

import pytest
from google.protobuf.message import Message

from holdspace.scheduling.v1.events_pb2 import CANCELLATION_REASON_CLIENT
from kernel.decision import Decision
from kernel.store.interface import Timer
from services.scheduling.app import BOOKING
from services.scheduling.domain import session
from services.scheduling.domain.booking import SLOT_ENDS, Status
from services.scheduling.domain.session import EndSlot, StartSession
from tests.sentences import Sentences
from tests.unit.scheduling.booked import (
    ASSURED,
    BLOCKED,
    CONFIRMED,
    ENDED,
    ENDS,
    EXPIRED,
    GOOD,
    HELD,
    LAPSED,
    POLICY,
    RESOURCES,
    STARTED,
    cancelled,
)

ENDING, STARTING = Sentences(BOOKING, session.end), Sentences(BOOKING, session.start)
END = EndSlot("b", ENDS)
INSTANT = timedelta(microseconds=1)
PATHS: dict[str, tuple[list[Message], Message, Status]] = {
    "a session": ([HELD, CONFIRMED, STARTED], ENDED, Status.ENDED),
    "a booking nobody started": ([HELD, CONFIRMED], LAPSED, Status.LAPSED),
}


@pytest.mark.parametrize("path", PATHS)
def test_what_was_booked_ends_with_its_slot_and_the_buffer_stays_taken_until_it_is_over(path: str) -> None:
    facts, end, status = PATHS[path]
    given = ENDING.given(*facts)
    given.when(replace(END, now=ENDS - INSTANT)).then()
    decision = given.when(END).then(end)
    assert decision == Decision([end], timers=[Timer(SLOT_ENDS, BLOCKED)])
    over = ENDING.given(*facts, end)
    assert (over.state.status, given.state.status_at(ENDS)) == (status, status)
    assert over.when(replace(END, now=BLOCKED)).then() == Decision([], releases=RESOURCES)


@pytest.mark.parametrize("path", PATHS)
def test_an_end_that_is_noted_after_the_buffer_frees_all_at_once(path: str) -> None:
    facts, end, _ = PATHS[path]
    assert ENDING.given(*facts).when(replace(END, now=BLOCKED)).decision() == Decision([end], releases=RESOURCES)


def test_what_is_over_otherwise_or_was_never_booked_has_no_such_end() -> None:
    for facts in ((), (HELD,), (HELD, EXPIRED), (HELD, CONFIRMED, cancelled(CANCELLATION_REASON_CLIENT))):
        assert ENDING.given(*facts).when(END).decision() == Decision()


@pytest.mark.parametrize("path", PATHS)
def test_no_session_starts_after_its_end_whether_or_not_that_was_noted(path: str) -> None:
    facts, end, _ = PATHS[path]
    ask = StartSession("b", "c", "c", "t", POLICY, ENDS)
    for given in (facts, [*facts, end]):
        STARTING.given(*given).when(ask, GOOD, GOOD, ASSURED).refused("SESSION_NOT_DUE", "booking_id")
