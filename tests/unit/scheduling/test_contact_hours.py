from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from holdspace.scheduling.v1.events_pb2 import WEEKDAY_FRIDAY, WEEKDAY_MONDAY, WEEKDAY_SATURDAY, WEEKDAY_SUNDAY
from services.scheduling.domain.contact_hours import ContactHours, Weekly

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)

# Instants about which clocks are changed: an hour in summer time, half an hour, at midnight, a whole day left out,
# and a zone that never changes.
CHANGES = {
    "Europe/Berlin": ("2026-03-29T01:00", "2026-10-25T01:00"),
    "America/New_York": ("2026-03-08T07:00", "2026-11-01T06:00"),
    "Australia/Lord_Howe": ("2026-04-04T15:00", "2026-10-03T15:30"),
    "America/Havana": ("2026-03-08T05:00", "2026-11-01T05:00"),
    "Africa/Casablanca": ("2026-02-15T02:00", "2026-03-22T02:00"),
    "Pacific/Apia": ("2011-12-30T10:00", "2011-09-24T14:00"),
    "Asia/Kathmandu": ("2026-06-01T00:00", "2026-12-01T00:00"),
}

PLACES = [(zone, datetime.fromisoformat(at).replace(tzinfo=UTC)) for zone, times in CHANGES.items() for at in times]
WEEKLY = st.builds(
    Weekly,
    weekday=st.integers(1, 7),
    start_minute=st.one_of(st.integers(0, 240), st.integers(0, 1439)),
    end_minute=st.one_of(st.integers(1, 240), st.integers(1, 1440)),
)


def open_minutes(hours: ContactHours, start: datetime, minutes: int) -> list[bool]:
    """Walks the clock minute by minute: a range is on from when the clock has first read its start until its end."""
    zone = ZoneInfo(hours.time_zone)
    furthest = None
    found = []
    for minute in range(-3 * 24 * 60, minutes):
        reading = (start + minute * MINUTE).astimezone(zone).replace(tzinfo=None)
        furthest = max(furthest or reading, reading)
        if minute >= 0:
            found.append(any(is_on(weekly, furthest) for weekly in hours.ranges))
    return found


def is_on(weekly: Weekly, reading: datetime) -> bool:
    midnight = datetime.combine(reading.date(), time())
    for begun in (midnight, midnight - timedelta(days=1)):
        if begun.isoweekday() != weekly.weekday:
            continue
        opens = begun + weekly.start_minute * MINUTE
        closes = begun + weekly.end_minute * MINUTE
        if closes <= opens:
            closes += timedelta(days=1)
        if opens <= reading < closes:
            return True
    return False


@pytest.mark.rule("SC1")
@settings(max_examples=150)
@given(st.sampled_from(PLACES), st.integers(-36 * 60, 12 * 60), st.lists(WEEKLY, min_size=1, max_size=8), st.data())
@example(PLACES[0], -120, [Weekly(WEEKDAY_SUNDAY, 150, 240)], None)
@example(PLACES[1], -120, [Weekly(WEEKDAY_SUNDAY, 90, 150), Weekly(WEEKDAY_SUNDAY, 150, 180)], None)
def test_contact_hours_are_those_that_a_walk_along_the_clock_finds(
    place: tuple[str, datetime], away: int, ranges: Sequence[Weekly], data: st.DataObject | None
) -> None:
    zone, changed = place
    hours, start, minutes = ContactHours(zone, tuple(ranges)), changed + away * MINUTE, 30 * 60
    found = hours.between(start, start + minutes * MINUTE)
    assert all(before[1] < after[0] for before, after in pairwise(found))
    walked = open_minutes(hours, start, minutes)
    covered = [any(opens <= start + m * MINUTE < closes for opens, closes in found) for m in range(minutes)]
    assert covered == walked
    if data is not None:
        first = data.draw(st.integers(0, minutes - 1))
        last = data.draw(st.integers(first + 1, min(minutes, first + 300)))
        assert hours.cover(start + first * MINUTE, start + last * MINUTE) is all(walked[first:last])


def at(zone: str, day: date, clock: str, fold: int = 0) -> datetime:
    hour, minute = map(int, clock.split(":"))
    return datetime.combine(day, time(hour, minute, fold=fold), ZoneInfo(zone)).astimezone(UTC)


BERLIN = "Europe/Berlin"
MONDAY = date(2026, 3, 2)
SPRING = date(2026, 3, 29)  # 02:00 to 03:00 is skipped
AUTUMN = date(2026, 10, 25)  # 02:00 to 03:00 comes twice


@pytest.mark.rule("SC1")
def test_a_slot_lies_within_contact_hours_to_its_very_edges_and_not_a_minute_beyond() -> None:
    hours = ContactHours(BERLIN, (Weekly(WEEKDAY_MONDAY, 9 * 60, 12 * 60), Weekly(WEEKDAY_MONDAY, 13 * 60, 17 * 60)))
    opens, closes = at(BERLIN, MONDAY, "09:00"), at(BERLIN, MONDAY, "12:00")
    assert hours.cover(opens, closes)
    assert not hours.cover(opens - MINUTE, closes)
    assert not hours.cover(opens, closes + MINUTE)
    assert not hours.cover(at(BERLIN, MONDAY, "11:00"), at(BERLIN, MONDAY, "14:00"))  # across the break
    assert not hours.cover(opens + timedelta(days=1), closes + timedelta(days=1))


@pytest.mark.rule("SC1")
def test_an_overnight_range_and_the_next_days_range_are_one_contact_time() -> None:
    hours = ContactHours(BERLIN, (Weekly(WEEKDAY_FRIDAY, 22 * 60, 2 * 60), Weekly(WEEKDAY_SATURDAY, 2 * 60, 4 * 60)))
    friday = date(2026, 3, 6)
    night = at(BERLIN, friday, "22:00")
    assert hours.between(night, night + MINUTE) == [(night, night + 6 * HOUR)]
    assert hours.cover(night + 2 * HOUR, night + 5 * HOUR)


@pytest.mark.rule("SC1")
def test_a_range_of_the_same_start_and_end_is_a_whole_day() -> None:
    hours = ContactHours(BERLIN, (Weekly(WEEKDAY_MONDAY, 9 * 60, 9 * 60),))
    assert hours.cover(at(BERLIN, MONDAY, "09:00"), at(BERLIN, MONDAY + timedelta(days=1), "09:00"))


@pytest.mark.rule("SC1")
def test_a_range_over_the_change_of_clocks_is_as_long_as_the_night_really_is() -> None:
    hours = ContactHours(BERLIN, (Weekly(WEEKDAY_SUNDAY, 60, 240),))
    for day, length in ((SPRING, 2 * HOUR), (AUTUMN, 4 * HOUR)):
        [(opens, closes)] = hours.between(at(BERLIN, day, "01:30"), at(BERLIN, day, "03:30"))
        assert (opens, closes - opens) == (at(BERLIN, day, "01:00"), length)


@pytest.mark.rule("SC1")
def test_a_boundary_in_the_skipped_hour_is_where_the_clocks_go_forward() -> None:
    forward = at(BERLIN, SPRING, "03:00")
    until = ContactHours(BERLIN, (Weekly(WEEKDAY_SUNDAY, 60, 150),))
    since = ContactHours(BERLIN, (Weekly(WEEKDAY_SUNDAY, 150, 240),))
    nothing = ContactHours(BERLIN, (Weekly(WEEKDAY_SUNDAY, 130, 170),))
    assert until.between(forward - HOUR, forward) == [(forward - HOUR, forward)]
    assert since.between(forward, forward + MINUTE) == [(forward, forward + HOUR)]
    assert nothing.between(forward - HOUR, forward + HOUR) == []


@pytest.mark.rule("SC1")
def test_a_boundary_where_the_clocks_begin_to_skip_is_where_they_go_forward() -> None:
    forward = at(BERLIN, SPRING, "03:00")
    since = ContactHours(BERLIN, (Weekly(WEEKDAY_SUNDAY, 120, 240),))
    assert since.between(forward, forward + MINUTE) == [(forward, forward + HOUR)]


@pytest.mark.rule("SC1")
def test_a_boundary_in_the_repeated_hour_is_its_first_pass() -> None:
    first, second = at(BERLIN, AUTUMN, "02:30"), at(BERLIN, AUTUMN, "02:30", fold=1)
    assert second - first == HOUR
    since = ContactHours(BERLIN, (Weekly(WEEKDAY_SUNDAY, 150, 180),))
    assert since.between(first, second) == [(first, first + 1.5 * HOUR)]


@pytest.mark.rule("SC1")
def test_the_contact_times_of_an_interval_are_those_that_share_a_minute_with_it_and_not_those_that_touch_it() -> None:
    hours = ContactHours(BERLIN, (Weekly(WEEKDAY_MONDAY, 9 * 60, 12 * 60), Weekly(WEEKDAY_MONDAY, 13 * 60, 17 * 60)))
    nine, noon, one, five = (at(BERLIN, MONDAY, clock) for clock in ("09:00", "12:00", "13:00", "17:00"))
    assert hours.between(noon, one) == []
    assert hours.between(nine - HOUR, nine) == []
    assert hours.between(five, five + HOUR) == []
    assert hours.between(noon - MINUTE, one) == [(nine, noon)]
    assert hours.between(noon, one + MINUTE) == [(one, five)]
    assert hours.between(nine, five) == [(nine, noon), (one, five)]


def test_without_hours_nothing_is_covered() -> None:
    assert not ContactHours().cover(at(BERLIN, MONDAY, "09:00"), at(BERLIN, MONDAY, "10:00"))
