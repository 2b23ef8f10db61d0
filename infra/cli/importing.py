"""`holdspace import`: conversations of another system, with their original times, through messaging's API."""

import asyncio
import json
import os
import re
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO, TextIO

import click

from holdspace.messaging.v1.service_pb2 import (
    ImportLine,
    ImportMessagesRequest,
    ImportMessagesResponse,
    RejectedLine,
)
from holdspace.messaging.v1.service_pb2_grpc import MessagingServiceStub
from holdspace.response_sla.v1.service_pb2_grpc import ResponseSlaServiceStub
from infra.cli import lines
from infra.cli.calls import calling, insist
from infra.cli.errors import ASKED_WRONGLY, FAILED, CommandError, cause
from infra.cli.progress import showing
from infra.cli.waiting import until_in_figures
from infra.cli.where import api, api_option, token_option
from kernel.grpc.revision import Revision, at_least
from kernel.ids import is_id

LINES_AT_ONCE_MAX = 1_000  # what one call takes
JSON_NAME = re.compile(r"\.(jsonl|ndjson)(\.gz)?$", re.IGNORECASE)


@dataclass(slots=True)
class Summary:
    """What became of the lines so far, and the revision to wait for to see them all."""

    imported: int = 0
    repeated: int = 0
    rejected: int = 0
    revision: Revision | None = None

    @property
    def lines(self) -> int:
        return self.imported + self.repeated + self.rejected

    def add(self, answer: ImportMessagesResponse, rejected: int) -> None:
        self.imported += answer.imported
        self.repeated += answer.repeated_lines
        self.rejected += rejected
        reached = at_least(answer.revision)
        if reached is not None and (self.revision is None or reached.position > self.revision.position):
            self.revision = reached


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--source", required=True, metavar="NAME", help="Names the other system: its person 12 is our NAME-12.")
@click.option(
    "--format",
    "form",
    type=click.Choice(tuple(lines.FORMATS)),
    help="Default: jsonl for .jsonl or .ndjson, else trace.",
)
@click.option("--wait", is_flag=True, help="Wait until the figures of response-sla contain what was imported.")
@api_option("messaging")
@api_option("response_sla", needed=False)
@token_option("messaging.import", "response_sla.read_all")
def import_command(
    file: Path, source: str, form: str | None, wait: bool, messaging: str, response_sla: str | None, token: str
) -> None:
    """Import conversations from FILE, plain or packed with gzip, with the times they have there.

    \b
    trace  sender, receiver and Unix seconds a line, separated by blanks
    jsonl  {"sender": ..., "receiver": ..., "sent_at": RFC 3339 or Unix seconds} a line

    Lines are known by their number: run it again after an interruption, or after lines were added at the end, and what
    is there already is passed over. So never insert or delete lines before those imported.

    Lines that cannot be taken are kept in FILE.NAME.rejects, a JSON object each with line, reason and field; the others
    are imported, and the exit code is 1. Messages of a conversation must be in the order of their times.
    """
    if not is_id(source):
        raise CommandError(
            "--source must be letters, digits, _ or -, at most 64, and begin with a letter or digit", ASKED_WRONGLY
        )
    form = form or ("jsonl" if JSON_NAME.search(file.name) else "trace")
    waits_at = (response_sla or api("response_sla")) if wait else ""
    began = time.monotonic()
    summary = Summary()
    rejects = file.with_name(f"{file.name}.{source}.rejects")
    try:
        asyncio.run(_import(file, form, source, rejects, summary, messaging, token))
    finally:
        _say(summary, time.monotonic() - began)
    if waits_at and summary.revision is not None:
        asyncio.run(_wait(waits_at, token, summary.revision))
    if summary.rejected:
        raise CommandError(f"{summary.rejected} lines were rejected: {rejects}", FAILED)


async def _import(
    file: Path, form: str, source: str, rejects: Path, summary: Summary, messaging: str, token: str
) -> None:
    with _reading(file) as (content, raw):
        size = os.fstat(raw.fileno()).st_size
        async with calling("messaging", messaging, token) as channel:
            stub = MessagingServiceStub(channel)
            with _keeping(rejects) as kept, showing() as show:  # The last run's rejects stay until this one can begin.
                for batch in _batches(lines.read(content, form, source)):
                    await _import_batch(stub, source, batch, kept, summary)
                    show(raw.tell(), size, f"{summary.lines:,} lines")
    if not summary.lines:
        raise CommandError(f"{file} is empty: there is nothing to import", ASKED_WRONGLY)


async def _wait(target: str, token: str, revision: Revision) -> None:
    async with calling("response-sla", target, token) as channel:
        await until_in_figures(ResponseSlaServiceStub(channel), [revision])


async def _import_batch(
    stub: MessagingServiceStub, source: str, batch: Sequence[ImportLine | RejectedLine], kept: TextIO, summary: Summary
) -> None:
    """Batches go one after the other, or the lines of a conversation would not keep their order."""
    good = [line for line in batch if isinstance(line, ImportLine)]
    bad = [line for line in batch if isinstance(line, RejectedLine)]
    answer = ImportMessagesResponse()
    if good:
        request = ImportMessagesRequest(request_id=secrets.token_hex(16), source=source, lines=good)
        answer = await insist(lambda: stub.ImportMessages(request))
        bad = sorted([*bad, *answer.rejected], key=lambda rejected: rejected.line)
    kept.writelines(f"{json.dumps({'line': each.line, 'reason': each.reason, 'field': each.field})}\n" for each in bad)
    kept.flush()
    summary.add(answer, len(bad))


def _batches(read: Iterator[ImportLine | RejectedLine]) -> Iterator[list[ImportLine | RejectedLine]]:
    while batch := list(islice(read, LINES_AT_ONCE_MAX)):
        yield batch


@contextmanager
def _reading(path: Path) -> Iterator[tuple[BinaryIO, BinaryIO]]:
    """Yields the content, and the file as it is, whose `tell` is the progress."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}", ASKED_WRONGLY) from error
    with file:
        try:
            yield lines.unpacked(file), file
        except lines.DAMAGED as error:
            raise CommandError(f"{path} cannot be unpacked to its end: {cause(error)}") from error


@contextmanager
def _keeping(rejects: Path) -> Iterator[TextIO]:
    """Opens the file for rejected lines anew; without any it is not left behind."""
    try:
        kept = rejects.open("w")
    except OSError as error:
        raise CommandError(f"{rejects} cannot be written: {error.strerror}", ASKED_WRONGLY) from error
    try:
        with kept:
            yield kept
    finally:
        if not rejects.stat().st_size:
            rejects.unlink()


def _say(summary: Summary, seconds: float) -> None:
    if summary.lines:
        rate = summary.lines / seconds
        counts = f"imported {summary.imported}, repeated {summary.repeated}, rejected {summary.rejected}"
        click.echo(f"{counts} in {seconds:.1f} s ({rate:,.0f} lines/s)")
        if summary.revision is not None:
            click.echo(f"revision {summary.revision.encode()}")
