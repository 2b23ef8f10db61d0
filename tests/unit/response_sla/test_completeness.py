"""Up to when the figures are complete, out of how far each consumer has come."""

from datetime import UTC, datetime

from services.response_sla.completeness import Complete, Input, complete

EARLY, LATE = datetime(2026, 3, 1, 9, tzinfo=UTC), datetime(2026, 3, 1, 10, tzinfo=UTC)
CONSUMERS = ("facts", "lanes")
MESSAGES = Input("facts", "messages", "messaging/main/1", 40, LATE)
REPORTS = Input("facts", "reports", "moderation/main/1", 9, LATE)
STANDING = Input("lanes", "standing", "moderation/main/1", 7, EARLY)


def test_they_are_complete_up_to_the_earliest_instant_that_all_topics_have_reached() -> None:
    assert complete([MESSAGES, REPORTS, STANDING], CONSUMERS).until == EARLY


def test_a_source_has_come_as_far_as_the_slowest_of_its_topics() -> None:
    found = complete([MESSAGES, REPORTS, STANDING], CONSUMERS).positions
    assert found == {"messaging/main/1": 40, "moderation/main/1": 7}


def test_nothing_is_said_of_the_whole_while_a_topic_or_a_consumer_has_not_been_heard_of() -> None:
    unheard = Input("lanes", "standing", "", 0, None)
    assert complete([MESSAGES, REPORTS, unheard], CONSUMERS).until is None
    assert complete([MESSAGES, REPORTS], CONSUMERS).until is None
    assert complete([], CONSUMERS) == Complete()


def test_a_source_that_part_of_a_topic_has_not_heard_of_has_no_position() -> None:
    partly = Input("lanes", "standing", "moderation/main/1", 0, None)
    assert complete([MESSAGES, REPORTS, partly], CONSUMERS).positions == {"messaging/main/1": 40}
