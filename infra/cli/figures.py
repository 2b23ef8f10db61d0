"""`holdspace figures`: what response-sla counts, for every therapist or down to the waits of one."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import click

from holdspace.response_sla.v1.private_pb2 import ResponseKind, VoidReason
from holdspace.response_sla.v1.service_pb2 import (
    Basis,
    FigureGroup,
    GetFiguresRequest,
    GetFiguresResponse,
    ListedWait,
    ListFiguresRequest,
    ListWaitsRequest,
    TherapistFigures,
    WaitState,
)
from holdspace.response_sla.v1.service_pb2_grpc import ResponseSlaServiceStub
from infra.cli import where
from infra.cli.calls import calling, insist
from infra.cli.errors import ASKED_WRONGLY, CommandError
from infra.cli.lines import read_rfc_3339
from infra.cli.output import Row, output_option, show
from infra.cli.store import SQL, reading
from infra.cli.waiting import stored_revision, until_in_figures
from kernel.errors import Rejected
from kernel.facts import timestamp
from kernel.grpc.revision import Revision, at_least

KINDS = ("first", "next", "all")
GROUP = ("count", "median_ms", "p90_ms")
ENDS = ("open", "voided", "excluded", "not_owed")
FIGURE_COLUMNS = ("therapist", *(f"{kind} {each}" for kind in KINDS for each in GROUP), *ENDS)
WAIT_COLUMNS = ("opened_at", "kind", "state", "response_ms", "ended_at", "client", "conversation", "report")
THERAPISTS_AT_ONCE = 100
WAITS_AT_ONCE = 500


class Instant(click.ParamType):
    name = "instant"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:  # noqa: ANN401
        try:
            return read_rfc_3339(value if "T" in value else f"{value}T00:00:00Z")
        except Rejected:
            self.fail(f"{value!r} is neither a date (2026-01-31, from midnight UTC) nor RFC 3339", param, ctx)


@dataclass(frozen=True, slots=True)
class Window:
    """Which waits count, and as of when; None as in the API."""

    opened_from: datetime | None
    opened_before: datetime | None
    as_of: datetime | None
    known_on: datetime | None

    def fields(self) -> dict[str, Any]:
        """Returns the google.protobuf.Timestamp of what is set, as all requests of response-sla name it."""
        told = {name: getattr(self, name) for name in self.__slots__}
        return {name: timestamp(instant) for name, instant in told.items() if instant is not None}


@click.command()
@click.argument("therapist", required=False)
@click.option("--all", "everyone", is_flag=True, help="Every therapist who has a wait in the window.")
@click.option("--from", "opened_from", type=Instant(), help="Only waits opened at or after this.")
@click.option("--to", "opened_before", type=Instant(), help="Only waits opened before this.")
@click.option("--as-of", type=Instant(), help="The waits as they stood then.")
@click.option("--known-on", type=Instant(), help="The waits as they were known then.")
@click.option("--wait", is_flag=True, help="Wait until the figures contain all that messaging has stored by now.")
@click.option("--revision", "revisions", multiple=True, metavar="TEXT", help="Wait for this, as an import printed it.")
@output_option
@where.api_option("response_sla")
@where.token_option("response_sla.read_all", "response_sla.read", "act_for")
@where.database_option(needed=False)
def figures(
    therapist: str | None,
    everyone: bool,
    wait: bool,
    revisions: Sequence[str],
    output: str,
    response_sla: str,
    token: str,
    database_url: str | None,
    **window: datetime | None,
) -> None:
    """Show how long clients wait for their therapists: of all (--all), or of THERAPIST with every wait behind it.

    first, next and all count closed waits: how many, median and 90th percentile in milliseconds of elapsed time.
    Instants are RFC 3339, or a date for its midnight in UTC. --wait without --revision looks into messaging's database.
    """
    if (therapist is not None) == everyone:
        raise CommandError("name a therapist, or ask for --all", ASKED_WRONGLY)
    wanted = [_revision(text) for text in revisions]
    store = database_url or where.database_url() if wait and not wanted else ""
    asked = Window(**window).fields()

    async def answer() -> None:
        async with calling("response-sla", response_sla, token) as channel:
            stub = ResponseSlaServiceStub(channel)
            if store:
                wanted.append(await _stored(stub, store))
            if wanted:
                await until_in_figures(stub, wanted)
            if therapist is None:
                _show_figures(await _of_all(stub, asked), output)
            else:
                await _show_one(stub, therapist, asked, output)

    asyncio.run(answer())


def _revision(text: str) -> Revision:
    try:
        revision = at_least(text)
    except Rejected:
        revision = None
    if revision is None:
        raise CommandError(f"--revision {text!r} is not one that an import printed", ASKED_WRONGLY)
    return revision


async def _stored(stub: ResponseSlaServiceStub, url: str) -> Revision:
    async with reading(url, "messaging") as connection:
        store = await connection.fetchrow(SQL["store"])
    return await stored_revision(stub, "messaging", store["epoch"], store["head"])


async def _of_all(stub: ResponseSlaServiceStub, asked: dict[str, Any]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    request = ListFiguresRequest(page_size=THERAPISTS_AT_ONCE, **asked)
    while True:
        listed = await insist(lambda: stub.ListFigures(request))
        rows += [_figure_row(each.therapist_id, each, listed.basis) for each in listed.therapists]
        if not listed.next_page_token:
            return rows
        request.page_token = listed.next_page_token


async def _show_one(stub: ResponseSlaServiceStub, therapist: str, asked: dict[str, Any], output: str) -> None:
    told: GetFiguresResponse = await insist(lambda: stub.GetFigures(GetFiguresRequest(therapist_id=therapist, **asked)))
    _show_figures([_figure_row(therapist, told, told.basis)], output)
    # The waits of exactly these figures, whatever has happened since.
    same = {**asked, "as_of": told.basis.as_of, "known_on": told.basis.known_on}
    request = ListWaitsRequest(therapist_id=therapist, page_size=WAITS_AT_ONCE, **same)
    waits: list[Row] = []
    while True:
        listed = await insist(lambda: stub.ListWaits(request))
        waits += [_wait_row(wait) for wait in listed.waits]
        if not listed.next_page_token:
            break
        request.page_token = listed.next_page_token
    show(waits, output, WAIT_COLUMNS)


def _show_figures(figures: Sequence[dict[str, Any]], output: str) -> None:
    """In a table the groups lie flat, and the instant that all of them rest on is its title."""
    if output == "json":
        show(figures, output, ())
        return
    flat = [{**each, **{f"{kind} {name}": each[kind][name] for kind in KINDS for name in GROUP}} for each in figures]
    show(flat, output, FIGURE_COLUMNS, title=f"as of {figures[0]['as_of']}" if figures else None)


def _figure_row(therapist: str, told: TherapistFigures | GetFiguresResponse, basis: Basis) -> dict[str, Any]:
    groups = {kind: _group(getattr(told, kind)) for kind in KINDS}
    ends = {name: getattr(told.all, name) for name in ENDS}
    return {"therapist": therapist, **groups, **ends, "as_of": _instant(basis, "as_of")}


def _group(group: FigureGroup) -> dict[str, int | None]:
    return {
        "count": group.count,
        "median_ms": group.median_ms if group.HasField("median_ms") else None,
        "p90_ms": group.p90_ms if group.HasField("p90_ms") else None,
    }


def _wait_row(wait: ListedWait) -> Row:
    return {
        "conversation": wait.conversation_id,
        "client": wait.client_id,
        "opening_sequence": wait.opening_sequence,
        "kind": _name(ResponseKind.Name(wait.kind), "RESPONSE_KIND_"),
        "state": _name(WaitState.Name(wait.state), "WAIT_STATE_"),
        "opened_at": _instant(wait, "opened_at"),
        "ended_at": _instant(wait, "ended_at"),
        "response_ms": wait.response_ms if wait.HasField("response_ms") else None,
        "void_reason": _name(VoidReason.Name(wait.void_reason), "VOID_REASON_"),
        "report": wait.report_id or None,
        "provisional": wait.provisional,
    }


def _name(name: str, prefix: str) -> str | None:
    """Returns an enum value's name as people write it, None for the one that says nothing."""
    return None if name.endswith("_UNSPECIFIED") else name.removeprefix(prefix).lower()


def _instant(message: Basis | ListedWait, field: str) -> str | None:
    return getattr(message, field).ToJsonString() if message.HasField(field) else None  # type: ignore[arg-type]
