"""The numbers of booking, as data. They travel in commands; what a booking needs of them later is in its facts."""

from dataclasses import dataclass
from datetime import timedelta

HOLDS_MAX = 3  # that one person has open at a time


@dataclass(frozen=True, slots=True)
class BookingPolicy:
    hold_for: timedelta = timedelta(minutes=10)
    shortest: timedelta = timedelta(minutes=15)
    longest: timedelta = timedelta(hours=4)
    furthest: timedelta = timedelta(days=366)  # from now to the start of a session
    buffer: timedelta = timedelta(minutes=10)  # a therapist's time after each session
    start_early: timedelta = timedelta(minutes=10)  # how long before its time a session may start
