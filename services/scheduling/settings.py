"""What scheduling is told by its environment."""

from datetime import timedelta
from typing import Annotated

from pydantic import Field

from kernel.settings import Limit, Seconds, ServiceSettings
from services.scheduling.domain.policy import BookingPolicy

Minutes = Annotated[int, Field(ge=0, le=24 * 60)]


class Settings(ServiceSettings):
    hold_seconds: Seconds = 600  # until a slot that nobody confirms is free again
    session_minutes_min: Limit = 15
    session_minutes_max: Limit = 240
    booking_days_max: Limit = 366  # from today to a session's start
    buffer_minutes: Minutes = 10  # a therapist's time after each session
    start_early_minutes: Minutes = 10  # how long before its time a session may start

    @property
    def policy(self) -> BookingPolicy:
        return BookingPolicy(
            hold_for=timedelta(seconds=self.hold_seconds),
            shortest=timedelta(minutes=self.session_minutes_min),
            longest=timedelta(minutes=self.session_minutes_max),
            furthest=timedelta(days=self.booking_days_max),
            buffer=timedelta(minutes=self.buffer_minutes),
            start_early=timedelta(minutes=self.start_early_minutes),
        )
