"""`holdspace import`: conversations of another system, with their original times, through messaging's API."""

import asyncio
import os
import re
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import BinaryIO

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
from infra.cli.errors import ASKED_WRONGLY, INCOMPLETE, CommandError, cause
from infra.cli.kept import Guesses, Rejects, keeping_rejects
from infra.cli.progress import showing
from infra.cli.waiting import until_in_figures
from infra.cli.where import api, api_option, subject_of, token_option
from kernel.errors import Rejected
from kernel.grpc.revision import Revision, at_least
from kernel.ids import is_id

LINES_AT_ONCE_MAX = 1_000  # what one call takes
PART_BYTES_MAX = 255
JSON_NAME = re.compile(r"\.(jsonl|ndjson)(\.gz)?$", re.IGNORECASE)

HELP = """Import conversations from FILE, plain or packed with gzip, with the times they have there.

\b
trace  sender, receiver and Unix seconds a line, separated by blanks, and perhaps the sender's role
jsonl  {"sender": ..., "receiver": ..., "sent_at": RFC 3339 or Unix seconds, "role": ...} a line

Who is the therapist of two people comes from the role (client or therapist) of a line, from the list, or from an
enrolment. Without any it is guessed: who wrote second. A guessed therapist is not enrolled; such conversations are
named in FILE.NAME.guessed.

Lines are known by source, part and number: run it again after an interruption, or after lines were corrected or
added at the end, and what is there already is passed over. So never insert or delete lines before those imported.

Lines that cannot be taken are kept in FILE.NAME.rejects, a JSON object each with line, reason and field; the others
are imported. Correct them where they are in FILE and run it again. Messages of a conversation must be in the order
of their times, and not later than the first one that was sent here.

Exit codes: 0 every line is in; 1 it stopped midway, run it again; 2 asked wrongly; 3 it came to the end, and lines
were rejected.
"""


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be imported, from where, by whom."""

    file: Path
    form: str
    source: str
    part: str
    therapists: frozenset[str]  # our ids of those listed
    has_header: bool
    operator: str

    @property
    def rejects(self) -> Path:
        return self.file.with_name(f"{self.file.name}.{self.source}.rejects")

    @property
    def guessed(self) -> Path:
        return self.file.with_name(f"{self.file.name}.{self.source}.guessed")


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


@click.command("import", help=HELP)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--source", required=True, metavar="NAME", help="Names the other system: its person 12 is our NAME-12.")
@click.option(
    "--format",
    "form",
    type=click.Choice(tuple(lines.FORMATS)),
    help="Default: jsonl for .jsonl or .ndjson, else trace.",
)
@click.option(
    "--part",
    metavar="NAME",
    help="What the lines are numbered within: a file that was renamed keeps its part. Default: the name of FILE.",
)
@click.option(
    "--therapists",
    type=click.Path(path_type=Path),
    metavar="LIST",
    help="A file with the ids of the other system's therapists, one a line.",
)
@click.option("--header", "has_header", is_flag=True, help="The first line names the columns and is passed over.")
@click.option("--operator", metavar="ID", help="Who imports. Default: whom the token speaks for.")
@click.option("--wait", is_flag=True, help="Wait until the figures of response-sla contain what was imported.")
@api_option("messaging")
@api_option("response_sla", needed=False)
@token_option("messaging.import", "response_sla.read_all", "act_for")
def import_command(
    file: Path,
    source: str,
    form: str | None,
    part: str | None,
    therapists: Path | None,
    has_header: bool,
    operator: str | None,
    wait: bool,
    messaging: str,
    response_sla: str | None,
    token: str,
) -> None:
    part = file.name.encode(errors="replace").decode() if part is None else part
    _check_names(source, part)
    form = form or ("jsonl" if JSON_NAME.search(file.name) else "trace")
    listed = _listed(therapists, source) if therapists else frozenset()
    asked = Asked(file, form, source, part, listed, has_header, operator or subject_of(token))
    waits_at = (response_sla or api("response_sla")) if wait else ""
    began = time.monotonic()
    summary, guesses = Summary(), Guesses(asked.guessed)
    try:
        asyncio.run(_import(asked, summary, guesses, messaging, token))
    finally:
        _say(summary, guesses, time.monotonic() - began)
    if waits_at and summary.revision is not None:
        asyncio.run(_wait(waits_at, token, summary.revision))
    if summary.rejected:
        raise CommandError(f"{summary.rejected} lines were rejected: {asked.rejects}", INCOMPLETE)


def _check_names(source: str, part: str) -> None:
    if not is_id(source):
        raise CommandError(
            "--source must be letters, digits, _ or -, at most 64, and begin with a letter or digit", ASKED_WRONGLY
        )
    if len(part.encode()) > PART_BYTES_MAX:
        raise CommandError(f"--part must be at most {PART_BYTES_MAX} bytes", ASKED_WRONGLY)


async def _import(asked: Asked, summary: Summary, guesses: Guesses, messaging: str, token: str) -> None:
    with _reading(asked.file) as (content, raw):
        size = os.fstat(raw.fileno()).st_size
        read = lines.read(content, asked.form, asked.source, has_header=asked.has_header)
        async with calling("messaging", messaging, token) as channel:
            stub = MessagingServiceStub(channel)
            with keeping_rejects(asked.rejects) as rejects, showing() as show:
                for batch in _batches(read):
                    await _import_batch(stub, asked, batch, rejects, guesses, summary)
                    show(raw.tell(), size, f"{summary.lines:,} lines")
    if not summary.lines:
        raise CommandError(f"{asked.file} is empty: there is nothing to import", ASKED_WRONGLY)


async def _wait(target: str, token: str, revision: Revision) -> None:
    async with calling("response-sla", target, token) as channel:
        await until_in_figures(ResponseSlaServiceStub(channel), [revision])


async def _import_batch(
    stub: MessagingServiceStub,
    asked: Asked,
    batch: Sequence[ImportLine | RejectedLine],
    rejects: Rejects,
    guesses: Guesses,
    summary: Summary,
) -> None:
    """Batches go one after the other, or the lines of a conversation would not keep their order."""
    good = [line for line in batch if isinstance(line, ImportLine)]
    bad = [line for line in batch if isinstance(line, RejectedLine)]
    answer = ImportMessagesResponse()
    if good:
        answer = await insist(partial(stub.ImportMessages, _request(asked, good)))
        bad = sorted([*bad, *answer.rejected], key=lambda rejected: rejected.line)
    rejects.add(bad)
    rejects.looked_to = batch[-1].line
    guesses.add(answer.guessed)
    summary.add(answer, len(bad))


def _request(asked: Asked, good: Sequence[ImportLine]) -> ImportMessagesRequest:
    people = {person for line in good for person in (line.sender_id, line.recipient_id)}
    return ImportMessagesRequest(
        request_id=secrets.token_hex(16),
        operator_id=asked.operator,
        source=asked.source,
        part=asked.part,
        lines=good,
        therapist_ids=sorted(people & asked.therapists),
    )


def _listed(path: Path, source: str) -> frozenset[str]:
    """Returns our ids of the therapists that the file lists. Blank lines are passed over."""
    try:
        listed = path.read_bytes().removeprefix(lines.BYTE_ORDER_MARK).decode().split("\n")
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}", ASKED_WRONGLY) from error
    except UnicodeDecodeError:
        raise CommandError(f"{path} is no text", ASKED_WRONGLY) from None
    found = set()
    for number, line in enumerate(listed, 1):
        if name := line.strip():
            try:
                found.add(lines.person_id(source, name, ""))
            except Rejected:
                raise CommandError(f"{path} line {number} is no id of a person", ASKED_WRONGLY) from None
    return frozenset(found)


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


def _say(summary: Summary, guesses: Guesses, seconds: float) -> None:
    """The revision comes last: scripts take it from there."""
    if not summary.lines:
        return
    rate = summary.lines / seconds
    counts = f"imported {summary.imported}, repeated {summary.repeated}, rejected {summary.rejected}"
    click.echo(f"{counts} in {seconds:.1f} s ({rate:,.0f} lines/s)")
    if guesses:
        count = f"{len(guesses)} conversation{'s' if len(guesses) > 1 else ''}"
        click.echo(f"guessed the therapist of {count}, and enrolled nobody by it: {guesses.path}")
    if summary.revision is not None:
        click.echo(f"revision {summary.revision.encode()}")
