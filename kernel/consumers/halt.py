"""The hard way out, which for a consumer is the safe one: a kill acknowledges nothing, a cancel does."""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import structlog

EXIT_CODE = 70  # EX_SOFTWARE of sysexits.h

log = structlog.get_logger()


def halt(consumer: str, reason: str) -> NoReturn:
    """Ends the process now, after one log line."""
    log.critical("consumer halts", consumer=consumer, reason=reason)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(EXIT_CODE)


@contextmanager
def halted_after(consumer: str, seconds: float) -> Iterator[None]:
    """Ends the process unless the block is through in time. By a thread: the event loop itself may be what hangs."""
    timer = threading.Timer(seconds, halt, (consumer, f"did not stop within {seconds:g} s"))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
