"""Logs: one JSON object a line on standard output. What a person wrote never gets there."""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO

import structlog
from google.protobuf.message import Message
from structlog.tracebacks import ExceptionDictTransformer
from structlog.types import Processor

FRAMES_MAX = 20


def configure(level: str, stream: TextIO = sys.stdout) -> None:
    """Sends our own records from `level` up, and those of libraries from warning up, to the stream.

    Takes debug, info, warning or error. Of Kafka's clients only what is critical gets there. Every record has time,
    level, event and what was bound with structlog.contextvars: service, role, trace_id, request_id, method.
    An exception is one record, with its frames.
    """
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False, max_frames=FRAMES_MAX)),
        _first_lines,
        _without_bodies,
    ]
    render = structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[*shared, render],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.WriteLoggerFactory(stream),
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(allow=()), structlog.stdlib.add_logger_name, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    for library in ("aiokafka", "faust", "mode"):  # They tell of every retry; the roles tell of an outage once.
        logging.getLogger(library).setLevel(logging.CRITICAL)


def _first_lines(_: object, __: str, record: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Cuts exception texts to their first line: a database adds the failing row below it."""
    for error in record.get("exception", ()):
        error["exc_value"] = error["exc_value"].split("\n", 1)[0]
        error.pop("exc_notes", None)
    return record


def _without_bodies(_: object, __: str, record: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replaces what may hold a body by its size, whoever logged it."""
    for key, value in record.items():
        if isinstance(value, bytes):
            record[key] = f"{len(value)} bytes"
        elif isinstance(value, Message):
            record[key] = f"{value.DESCRIPTOR.name} of {value.ByteSize()} bytes"
    return record
