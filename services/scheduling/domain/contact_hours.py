"""Contact hours: weekly ranges on the therapist's own wall clock, and the instants they come to.

A boundary is the first instant at which the clocks of the zone read its time or a later one. So a range that begins or
ends in the hour that spring skips does so when the clocks go forward, and in the hour that autumn repeats it does so in
the first pass. Ranges that touch on the clock touch in time, whatever the zone.
"""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from importlib.resources import files
from typing import NamedTuple
from zoneinfo import ZoneInfo

from holdspace.scheduling.v1.events_pb2 import Weekday

DAY_MINUTES = 24 * 60


class Weekly(NamedTuple):
    """A range of local time. One that ends at or before it starts runs overnight into the next day."""

    weekday: Weekday.ValueType  # numbered like ISO 8601: 1 is Monday
    start_minute: int  # after midnight, 0 to 1439
    end_minute: int  # after midnight, 1 to 1440

    @property
    def minutes_to_end(self) -> int:
        """Counted from the midnight that the range's own day begins with."""
        overnight = self.end_minute <= self.start_minute
        return self.end_minute + DAY_MINUTES if overnight else self.end_minute


@dataclass(frozen=True, slots=True)
class ContactHours:
    time_zone: str = ""
    ranges: tuple[Weekly, ...] = ()

    def cover(self, start: datetime, end: datetime) -> bool:
        """Says whether [start, end) lies within the contact hours without a gap."""
        return any(opens <= start and end <= closes for opens, closes in self.between(start, end))

    def between(self, start: datetime, end: datetime) -> list[tuple[datetime, datetime]]:
        """Returns the contact times that meet [start, end), whole, in UTC, in order, none touching the next."""
        if not self.ranges:
            return []
        merged: list[tuple[datetime, datetime]] = []
        for opens, closes in sorted(self._around(start, end)):
            if merged and opens <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(closes, merged[-1][1]))
            else:
                merged.append((opens, closes))
        return [(opens, closes) for opens, closes in merged if opens < end and start < closes]

    def _around(self, start: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
        """Yields the ranges of the local days about [start, end): one that runs overnight began the day before, and one
        that touches it ends or begins a day away.
        """
        zone = ZoneInfo(self.time_zone)
        day = start.astimezone(zone).date() - timedelta(days=2)
        last = end.astimezone(zone).date() + timedelta(days=2)
        while day <= last:
            for weekly in self.ranges:
                if weekly.weekday == day.isoweekday():
                    opens = first_reached(day, weekly.start_minute, zone)
                    closes = first_reached(day, weekly.minutes_to_end, zone)
                    if opens < closes:
                        yield opens, closes
            day += timedelta(days=1)


def first_reached(day: date, minute: int, zone: ZoneInfo) -> datetime:
    """Returns the first instant, in UTC, at which the zone's clocks read that many minutes after the day's midnight, or
    more. A minute may lie past the end of the day.
    """
    reading = datetime.combine(day, time()) + timedelta(minutes=minute)
    found = reading.replace(tzinfo=zone).astimezone(UTC)
    if found.astimezone(zone).replace(tzinfo=None) == reading:
        return found
    # The clocks skip this reading: find when. With the offset of after the skip it names an instant before it.
    before = reading.replace(tzinfo=zone, fold=1).astimezone(UTC)
    seconds = range(int((found - before).total_seconds()) + 1)
    skipped = bisect_left(
        seconds, reading, key=lambda s: (before + timedelta(seconds=s)).astimezone(zone).replace(tzinfo=None)
    )
    return before + timedelta(seconds=skipped)


@cache
def time_zones() -> frozenset[str]:
    """Returns the names that every machine knows alike: those that the time zone database lists by country, and UTC.

    What else a machine offers differs from one to the next: its own `localtime`, placeholders such as `Factory`, and
    old names, which some systems no longer install.
    """
    table = files("tzdata").joinpath("zoneinfo", "zone.tab").read_text()
    rows = (line.split("\t") for line in table.splitlines() if not line.startswith("#"))
    return frozenset({"UTC", "Etc/UTC", *(row[2] for row in rows)})
