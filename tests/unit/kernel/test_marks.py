"""The mark of a source: what is sent twice is known, and a false mark hides nothing that is not."""

from kernel.consumers.checkpoints import Mark


def taken(positions: list[int]) -> list[int]:
    mark, found = Mark(0, 0), []
    for position in positions:
        if not mark.covers(position):
            mark = mark.moved_to(position)
            found.append(position)
    return found


def test_what_a_relay_sends_again_is_taken_once() -> None:
    assert taken([1, 5, 9, 5, 9, 12, 1, 5, 9, 12, 20]) == [1, 5, 9, 12, 20]


def test_a_record_with_a_position_far_ahead_hides_no_later_one() -> None:
    assert taken([1, 5, 1_000_000_000, 9, 12, 9, 12, 20]) == [1, 5, 1_000_000_000, 9, 12, 20]
    assert taken([1_000_000_000, 1, 2, 3, 2, 3]) == [1_000_000_000, 1, 2, 3]


def test_a_record_with_a_position_taken_before_is_the_one_that_is_passed_over() -> None:
    assert taken([1, 5, 3, 9, 12]) == [1, 5, 3, 9, 12]
    assert taken([1, 5, 9, 2, 12]) == [1, 5, 9, 12]
