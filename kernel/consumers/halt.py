"""A consumer that must not go on, and the hard way out: a kill acknowledges nothing."""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import asyncpg
import structlog

EXIT_CODE = 70  # EX_SOFTWARE of sysexits.h
REASON_CHARACTERS_MAX = 1_000

NOTE = """
insert into consumer_halts (consumer, reason) values ($1, $2)
on conflict (consumer) do update set reason = excluded.reason, halted_at = excluded.halted_at
where consumer_halts.reason <> excluded.reason"""
CLEAR = "delete from consumer_halts where consumer = $1"

log = structlog.get_logger()


async def note(connection: asyncpg.Connection, consumer: str, reason: str) -> None:
    """Keeps for operators why the consumer does not go on."""
    await connection.execute(NOTE, consumer, reason.replace("\0", "")[:REASON_CHARACTERS_MAX])


async def clear(connection: asyncpg.Connection, consumer: str) -> None:
    await connection.execute(CLEAR, consumer)


def exit_hard(consumer: str, reason: str) -> NoReturn:
    """Ends the process now, after one log line."""
    log.critical("consumer ends the process", consumer=consumer, reason=reason)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(EXIT_CODE)


@contextmanager
def exit_hard_after(consumer: str, seconds: float) -> Iterator[None]:
    """Ends the process unless the block is through in time. By a thread: the event loop itself may be what hangs."""
    timer = threading.Timer(seconds, exit_hard, (consumer, f"did not stop within {seconds:g} s"))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
