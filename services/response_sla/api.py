"""Calls of response-SLA's API to queries. Every figure is made by domain/figures.py, whoever asks."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import grpc

from holdspace.response_sla.v1 import service_pb2_grpc
from holdspace.response_sla.v1.service_pb2 import (
    GetFiguresRequest,
    GetFiguresResponse,
    GetProgressRequest,
    GetProgressResponse,
    ListedWait,
    ListFiguresRequest,
    ListFiguresResponse,
    ListWaitsRequest,
    ListWaitsResponse,
    TherapistFigures,
)
from kernel.errors import Rejected
from kernel.facts import timestamp
from kernel.grpc.paging import Pages
from kernel.grpc.revision import Revision, at_least
from kernel.queries import Queries
from kernel.store.interface import EventStore
from services.response_sla.answers import group_message, input_message, wait_message, wait_of
from services.response_sla.basis import Basis, Window, settle, window
from services.response_sla.completeness import Completeness
from services.response_sla.domain.figures import Figures, as_it_stood, figures
from services.response_sla.domain.policy import Policy

Context = grpc.aio.ServicerContext[Any, Any]
THERAPISTS_PAGE_MAX = 100  # their waits are read for each page


class ResponseSlaApi(service_pb2_grpc.ResponseSlaServiceServicer):
    def __init__(
        self, queries: Queries, pages: Pages, store: EventStore, completeness: Completeness, policy: Policy
    ) -> None:
        self._queries = queries
        self._pages = pages
        self._store = store
        self._completeness = completeness
        self._policy = policy

    async def GetFigures(self, request: GetFiguresRequest, context: Context) -> GetFiguresResponse:
        opened = window(request)
        basis = await settle(request, self._queries, self._completeness)
        found = (await self._figures([request.therapist_id], opened, basis))[0]
        return GetFiguresResponse(
            first=group_message(found.first),
            next=group_message(found.next),
            all=group_message(found.all),
            basis=basis.message(self._completeness.complete.until),
        )

    async def ListFigures(self, request: ListFiguresRequest, context: Context) -> ListFiguresResponse:
        opened = window(request)
        asked = self._pages.of(request, *Basis.KINDS, str, size_max=THERAPISTS_PAGE_MAX)
        if asked.after:
            basis, (after,) = Basis(*asked.after[:3]), asked.after[3:]
        else:
            basis, after = await settle(request, self._queries, self._completeness), ""
        rows = await self._queries.rows(
            "therapists", opened.start, opened.end, basis.as_of, basis.position, after, asked.size + 1
        )
        therapists = [row["therapist_id"] for row in rows[: asked.size]]
        found = await self._figures(therapists, opened, basis)
        return ListFiguresResponse(
            therapists=[
                TherapistFigures(
                    therapist_id=therapist_id,
                    first=group_message(of.first),
                    next=group_message(of.next),
                    all=group_message(of.all),
                )
                for therapist_id, of in zip(therapists, found, strict=True)
            ],
            next_page_token=asked.next(*basis.token(), therapists[-1]) if len(rows) > asked.size else "",
            basis=basis.message(self._completeness.complete.until),
        )

    async def ListWaits(self, request: ListWaitsRequest, context: Context) -> ListWaitsResponse:
        opened = window(request)
        asked = self._pages.of(request, *Basis.KINDS, datetime, str, int)
        after: tuple[object, ...] = (None, "", 0)
        if asked.after:
            basis, after = Basis(*asked.after[:3]), asked.after[3:]
        else:
            basis = await settle(request, self._queries, self._completeness)
        rows = await self._queries.rows(
            "waits",
            request.therapist_id,
            opened.start,
            opened.end,
            basis.as_of,
            basis.position,
            request.kind,
            *after,
            asked.size + 1,
        )
        shown = rows[: asked.size]
        return ListWaitsResponse(
            waits=[_listed(row, basis) for row in shown],
            next_page_token=asked.next(*basis.token(), *_place(shown[-1])) if len(rows) > asked.size else "",
            basis=basis.message(self._completeness.complete.until),
        )

    async def GetProgress(self, request: GetProgressRequest, context: Context) -> GetProgressResponse:
        revisions = [_revision(text, number) for number, text in enumerate(request.revisions)]
        complete = self._completeness.complete
        inputs = await self._completeness.inputs()
        return GetProgressResponse(
            inputs=[input_message(found) for found in inputs],
            position=await self._queries.position(),
            head=await self._store.head(),
            complete_until=timestamp(complete.until) if complete.until is not None else None,
            revisions_reached=all(complete.positions.get(each.source, -1) >= each.position for each in revisions),
        )

    async def _figures(self, therapists: Sequence[str], opened: Window, basis: Basis) -> list[Figures]:
        """Returns the figures of each therapist, in their order."""
        rows = await self._queries.rows(
            "waits_of_therapists", therapists, opened.start, opened.end, basis.as_of, basis.position
        )
        waits = defaultdict(list)
        for row in rows:
            waits[row["therapist_id"]].append(wait_of(row))
        found = []
        for therapist_id in therapists:
            found.append(figures(waits[therapist_id], opened.start, opened.end, basis.as_of, self._policy))
            await asyncio.sleep(0)  # Other calls go between.
        return found


def _listed(row: Any, basis: Basis) -> ListedWait:  # noqa: ANN401 - a row
    return wait_message(row, as_it_stood(wait_of(row), basis.as_of))


def _place(row: Any) -> tuple[datetime, str, int]:  # noqa: ANN401 - a row
    return row["opened_at"], row["conversation_id"], row["opening_sequence"]


def _revision(text: str, number: int) -> Revision:
    try:
        found = at_least(text)
    except Rejected as rejected:
        raise Rejected(rejected.reason, f"revisions[{number}]") from None
    if found is None:
        raise Rejected("FIELD_MISSING", f"revisions[{number}]")
    return found
