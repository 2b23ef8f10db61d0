"""Calls of response-SLA's API to queries. Every figure is made by domain/figures.py, whoever asks."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import grpc
from google.protobuf.message import Message

from holdspace.response_sla.v1 import service_pb2_grpc
from holdspace.response_sla.v1.service_pb2 import (
    DeclareNoReplyOwedRequest,
    DeclareNoReplyOwedResponse,
    GetFiguresRequest,
    GetFiguresResponse,
    GetFiguresUnderPolicyRequest,
    GetFiguresUnderPolicyResponse,
    GetProgressRequest,
    GetProgressResponse,
    ListedWait,
    ListFiguresRequest,
    ListFiguresResponse,
    ListResponsePoliciesRequest,
    ListResponsePoliciesResponse,
    ListWaitsRequest,
    ListWaitsResponse,
    SetResponsePolicyRequest,
    SetResponsePolicyResponse,
)
from kernel.clock import Clock
from kernel.commands import CommandPath, Handled
from kernel.errors import Rejected
from kernel.facts import timestamp
from kernel.grpc.call import current_call
from kernel.grpc.paging import Pages
from kernel.grpc.reads import Reads
from kernel.grpc.revision import Revision, at_least
from kernel.queries import Queries
from kernel.requests import call_request
from kernel.routes import Command
from kernel.store.interface import EventStore
from services.response_sla.answers import figures_message, group_message, input_message, wait_message, wait_of
from services.response_sla.app import CONVERSATION
from services.response_sla.basis import Basis, Window, settle, window
from services.response_sla.completeness import Completeness
from services.response_sla.domain.conversation import conversation_stream
from services.response_sla.domain.conversation_waits import DeclareNoReplyOwed
from services.response_sla.domain.figures import Figures, as_it_stood, figures
from services.response_sla.domain.policy import DEFAULT, Policies, only
from services.response_sla.domain.response_policy import SetResponsePolicy, to_message
from services.response_sla.policies import policies_at, policy_of, policy_to_set, policy_under
from services.response_sla.what_if import waits_under

Context = grpc.aio.ServicerContext[Any, Any]
SEQUENCE_MAX = 2**63 - 1  # what a column of the read model holds
THERAPISTS_PAGE_MAX = 100  # their waits are read for each page


class ResponseSlaApi(service_pb2_grpc.ResponseSlaServiceServicer):
    def __init__(
        self,
        path: CommandPath,
        queries: Queries,
        reads: Reads,
        pages: Pages,
        store: EventStore,
        completeness: Completeness,
        clock: Clock,
    ) -> None:
        self._path = path
        self._queries = queries
        self._reads = reads
        self._pages = pages
        self._store = store
        self._completeness = completeness
        self._clock = clock

    async def GetFigures(self, request: GetFiguresRequest, context: Context) -> GetFiguresResponse:
        opened = window(request)
        basis = await settle(request, self._queries, self._completeness)
        found = (await self._figures([request.therapist_id], opened, basis))[0]
        return GetFiguresResponse(
            first=group_message(found.first),
            next=group_message(found.next),
            all=group_message(found.all),
            basis=basis.message(self._completeness.complete.until),
            policy_versions=found.policy_versions,
        )

    async def GetFiguresUnderPolicy(
        self, request: GetFiguresUnderPolicyRequest, context: Context
    ) -> GetFiguresUnderPolicyResponse:
        opened = window(request)
        basis = await settle(request, self._queries, self._completeness)
        policy = policy_under(request, await policies_at(self._queries, basis.position))
        recorded = (await self._figures([request.therapist_id], opened, basis))[0]
        waits = await waits_under(self._queries, request.therapist_id, basis.position, only(policy))
        under = figures(waits, opened.start, opened.end, basis.as_of, only(policy))
        return GetFiguresUnderPolicyResponse(
            recorded=figures_message(request.therapist_id, recorded),
            under_policy=figures_message(request.therapist_id, under),
            policy=to_message(policy),
            basis=basis.message(self._completeness.complete.until),
        )

    async def DeclareNoReplyOwed(
        self, request: DeclareNoReplyOwedRequest, context: Context
    ) -> DeclareNoReplyOwedResponse:
        for name in ("opening_sequence", "last_message_sequence"):
            if getattr(request, name) > SEQUENCE_MAX:
                raise Rejected("FIELD_MALFORMED", name)
        known = await self._path.state(conversation_stream(request.conversation_id), CONVERSATION)
        if known.parties.therapist_id != request.therapist_id:
            raise Rejected("NOT_FOUND", "conversation_id")
        command = DeclareNoReplyOwed(
            conversation_id=request.conversation_id,
            client_id=known.parties.client_id,
            therapist_id=request.therapist_id,
            opening_sequence=request.opening_sequence,
            last_sequence=request.last_message_sequence,
            now=self._clock.now(),
        )
        handled = await self._run(command, request)
        return DeclareNoReplyOwedResponse(revision=self._reads.revision(handled.position))

    async def SetResponsePolicy(self, request: SetResponsePolicyRequest, context: Context) -> SetResponsePolicyResponse:
        command = SetResponsePolicy(request.operator_id, policy_to_set(request.policy), self._clock.now())
        handled = await self._run(command, request)
        policy = handled.state.of(request.policy.policy_version)
        return SetResponsePolicyResponse(policy=to_message(policy), revision=self._reads.revision(handled.position))

    async def ListResponsePolicies(
        self, request: ListResponsePoliciesRequest, context: Context
    ) -> ListResponsePoliciesResponse:
        asked = self._pages.of(request, int)
        await self._reads.wait(request.at_least)
        after = asked.after[0] if asked.after else 0
        rows = await self._queries.rows("policies_page", after, asked.size + 1)
        shown = rows[: asked.size]
        shipped = [] if asked.after else [to_message(DEFAULT)]
        return ListResponsePoliciesResponse(
            policies=[*shipped, *(to_message(policy_of(row)) for row in shown)],
            next_page_token=asked.next(shown[-1]["position"]) if len(rows) > asked.size else "",
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
            therapists=[figures_message(therapist_id, of) for therapist_id, of in zip(therapists, found, strict=True)],
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
        policies = await policies_at(self._queries, basis.position)
        return ListWaitsResponse(
            waits=[_listed(row, basis, policies) for row in shown],
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

    async def _run(self, command: Command, request: Message) -> Handled:
        call = current_call()
        identity = call_request(call.scope, call.method, call.request_id, request)
        return await self._path.run(command, identity, call.origin, call.deadline)

    async def _figures(self, therapists: Sequence[str], opened: Window, basis: Basis) -> list[Figures]:
        """Returns the figures of each therapist, in their order."""
        rows = await self._queries.rows(
            "waits_of_therapists", therapists, opened.start, opened.end, basis.as_of, basis.position
        )
        waits = defaultdict(list)
        for row in rows:
            waits[row["therapist_id"]].append(wait_of(row))
        policies = await policies_at(self._queries, basis.position)
        found = []
        for therapist_id in therapists:
            found.append(figures(waits[therapist_id], opened.start, opened.end, basis.as_of, policies))
            await asyncio.sleep(0)  # Other calls go between.
        return found


def _listed(row: Any, basis: Basis, policies: Policies) -> ListedWait:  # noqa: ANN401 - a row
    return wait_message(row, as_it_stood(wait_of(row), basis.as_of), policies)


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
