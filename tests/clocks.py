"""Another clock of the process, for what must not ask it."""

import datetime as standard
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest

OURS = ("services.", "kernel.")


def shifted(away: timedelta) -> type[standard.datetime]:
    class Elsewhere(standard.datetime):
        @classmethod
        def now(cls, tz: standard.tzinfo | None = None) -> Any:
            return standard.datetime.now(tz) + away

        @classmethod
        def utcnow(cls) -> Any:
            return standard.datetime.now(standard.UTC).replace(tzinfo=None) + away

        @classmethod
        def today(cls) -> Any:
            return standard.datetime.now() + away  # noqa: DTZ005 - what it stands for has no zone

    return Elsewhere


@contextmanager
def process_clock(away: timedelta, zone: str) -> Iterator[None]:
    """Within it, whatever the project's modules ask the process for the time is that much away, in that zone."""
    elsewhere, seconds, nanoseconds = shifted(away), time.time, time.time_ns
    with pytest.MonkeyPatch.context() as changed:
        for name, module in list(sys.modules.items()):
            if name.startswith(OURS) and getattr(module, "datetime", None) is standard.datetime:
                changed.setattr(module, "datetime", elsewhere)
        changed.setattr(time, "time", lambda: seconds() + away.total_seconds())
        changed.setattr(time, "time_ns", lambda: nanoseconds() + away // timedelta(microseconds=1) * 1_000)
        changed.setenv("TZ", zone)
        time.tzset()
        yield
    time.tzset()
