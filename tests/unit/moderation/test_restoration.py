"""What a reinstatement could not give back is named, and only by that reinstatement."""

import pytest

from tests.unit.moderation.words import (
    MODERATOR,
    booking_lost,
    given,
    note_booking_lost,
    reinstated,
    suspended,
)

LIFTED = (suspended(48, by=MODERATOR), reinstated())  # the reinstatement is the stream's second fact
TWICE = (*LIFTED, suspended(96, by=MODERATOR), reinstated())


@pytest.mark.rule("MO4.f")
def test_what_could_not_be_restored_is_named_once() -> None:
    given(*LIFTED).when(note_booking_lost("b1", 2)).then(booking_lost("b1", 2))
    named = given(*LIFTED, booking_lost("b1", 2), booking_lost("b2", 2))
    assert named.state.booking_ids_lost == ("b1", "b2")
    named.when(note_booking_lost("b1", 2)).then()


@pytest.mark.rule("MO4.f")
def test_the_loss_of_an_earlier_lift_is_recorded_and_not_listed_under_a_later_one() -> None:
    given(*TWICE).when(note_booking_lost("b1", 2)).then(booking_lost("b1", 2))
    assert given(*TWICE, booking_lost("b1", 2)).state.booking_ids_lost == ()
    assert given(*TWICE, booking_lost("b1", 2), booking_lost("b2", 4)).state.booking_ids_lost == ("b2",)
    assert given(*LIFTED, booking_lost("b1", 2), *TWICE[2:]).state.booking_ids_lost == ()


@pytest.mark.rule("MO4")
def test_a_booking_lost_at_an_earlier_lift_and_again_at_this_one_is_listed() -> None:
    given(*TWICE, booking_lost("b1", 2)).when(note_booking_lost("b1", 4)).then(booking_lost("b1", 4))


@pytest.mark.rule("MO4")
def test_a_loss_that_names_no_lift_is_one_of_the_last() -> None:
    given(*TWICE).when(note_booking_lost("b1")).then(booking_lost("b1", 4))
