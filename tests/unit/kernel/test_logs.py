"""What stands in the logs, and what never does."""

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from structlog.contextvars import bound_contextvars

from kernel import logs
from tests.unit.kernel.diary import write


class Logs(io.StringIO):
    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.getvalue().splitlines()]


@pytest.fixture
def written() -> Iterator[Logs]:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    stream = Logs()
    logs.configure("info", stream)
    yield stream
    root.handlers[:], root.level = before
    structlog.reset_defaults()


def test_a_record_is_one_line_with_what_was_bound(written: Logs) -> None:
    with bound_contextvars(service="diary", role="api", trace_id="t", request_id="r", method="m"):
        structlog.get_logger().info("written", count=3)
    [record] = written.records()
    assert record.pop("time").endswith("Z")
    assert record == {
        "event": "written",
        "level": "info",
        "count": 3,
        "service": "diary",
        "role": "api",
        "trace_id": "t",
        "request_id": "r",
        "method": "m",
    }


def test_records_below_the_level_are_left_out(written: Logs) -> None:
    structlog.get_logger().debug("no")
    assert not written.records()


def test_a_library_speaks_the_same_way_and_only_when_it_matters(written: Logs) -> None:
    library = logging.getLogger("grpc._channel")
    library.info("connected")
    with bound_contextvars(role="relay"):
        library.warning("lost %s\nagain", "broker 1", extra={"body": "dear ann"})
    [record] = written.records()
    assert (record["event"], record["level"], record["logger"]) == ("lost broker 1\nagain", "warning", "grpc._channel")
    assert (record["role"], "body" in record) == ("relay", False)


@pytest.mark.parametrize("logger", [structlog.get_logger(), logging.getLogger("grpc")])
def test_an_exception_is_one_record_with_frames_and_without_values(written: Logs, logger: logging.Logger) -> None:
    def fail(body: str) -> None:
        raise ValueError(f"no {len(body)}\nDETAIL: row (dear ann)")

    try:
        fail("dear ann")
    except ValueError:
        logger.exception("failed")
    [record] = written.records()
    [error] = record["exception"]
    assert (error["exc_type"], error["exc_value"], error["frames"][-1]["name"]) == ("ValueError", "no 8", "fail")
    assert "dear ann" not in written.getvalue()


def test_kafkas_clients_leave_an_outage_to_the_role_that_has_it(written: Logs) -> None:
    for name in ("aiokafka.conn", "faust.transport.conductor", "mode"):
        logging.getLogger(name).error("broker 1 is away")
    assert not written.records()


def test_bodies_are_logged_by_their_size(written: Logs) -> None:
    structlog.get_logger().warning("odd", body=b"dear ann", request=write(text="dear ann"))
    [record] = written.records()
    assert (record["body"], record["request"]) == ("8 bytes", "WriteRequest of 19 bytes")


async def test_what_nobody_awaited_is_logged_too(written: Logs) -> None:
    asyncio.get_running_loop().call_exception_handler({"message": "lost", "exception": ValueError("x")})
    [record] = written.records()
    assert (record["logger"], record["exception"][0]["exc_value"]) == ("asyncio", "x")
