"""Calls of moderation's API to commands and queries."""

from datetime import datetime
from typing import Any, TypedDict

import grpc
from google.protobuf.message import Message

from holdspace.moderation.v1 import service_pb2 as api
from holdspace.moderation.v1 import service_pb2_grpc
from kernel.clock import Clock
from kernel.commands import CommandPath, Handled
from kernel.errors import Rejected
from kernel.facts import EPOCH, instant, timestamp
from kernel.grpc.call import CallContext, current_call
from kernel.grpc.paging import Pages
from kernel.grpc.reads import Reads
from kernel.queries import Queries
from kernel.requests import call_request
from kernel.routes import Command
from kernel.store.interface import Request
from services.moderation.allowances import run_asking
from services.moderation.answers import STATES, report_of, report_of_row, standing_of
from services.moderation.app import CLIENT_STANDING, client_of, client_stream
from services.moderation.domain.client_standing import ClientStanding
from services.moderation.domain.decisions import (
    BanClient,
    BrakeClient,
    ConfirmSuspension,
    DecideReport,
    ReinstateClient,
    SuspendClient,
    WarnClient,
)
from services.moderation.domain.policy import POLICIES, Policy
from services.moderation.domain.reporting import ReportClient, report_id

SEQUENCE_MAX = 2**63 - 1  # what a column of the read model holds

Context = grpc.aio.ServicerContext[Any, Any]


class Decided(TypedDict):
    """What every decision answers: the standing as it left it, also when the answer is given again later."""

    standing: api.ClientStanding
    revision: str


class ModerationApi(service_pb2_grpc.ModerationServiceServicer):
    def __init__(
        self, path: CommandPath, queries: Queries, reads: Reads, pages: Pages, clock: Clock, policy: Policy
    ) -> None:
        self._path = path
        self._queries = queries
        self._pages = pages
        self._reads = reads
        self._clock = clock
        self._policy = policy

    async def ReportClient(self, request: api.ReportClientRequest, context: Context) -> api.ReportClientResponse:
        last_message_well_formed(request)
        command = ReportClient(
            client_id=request.client_id,
            reporter_id=request.reporter_id,
            report_id=report_id(request.reporter_id, request.client_id, request.request_id),
            severity=request.severity,
            conversation_id=request.conversation_id,
            last_message_sequence=request.last_message_sequence,
            policy=self._policy,
            now=self._clock.now(),
        )
        call = current_call()
        handled = await run_asking(self._path, command, identity_of(call, request), call.origin, call.deadline)
        standing: ClientStanding = handled.state
        return api.ReportClientResponse(
            report_id=command.report_id,
            reported_at=timestamp(standing.reports[command.report_id].at),
            client_state=STATES[standing.at(decided_at(standing))],
            revision=self._reads.revision(handled.position),
        )

    async def DecideReport(self, request: api.DecideReportRequest, context: Context) -> api.DecideReportResponse:
        command = DecideReport(
            request.client_id, request.moderator_id, request.report_id, request.finding, self._clock.now()
        )
        handled = await self._run(command, request)
        standing: ClientStanding = handled.state
        report = standing.reports[request.report_id]
        contact_seen = report.reporter_id in standing.contacts
        return api.DecideReportResponse(
            report=report_of(request.client_id, report, contact_seen=contact_seen), **self._decided(handled)
        )

    async def WarnClient(self, request: api.WarnClientRequest, context: Context) -> api.WarnClientResponse:
        policy = policy_of(request.policy_version)
        command = WarnClient(request.client_id, request.moderator_id, policy, self._clock.now())
        return api.WarnClientResponse(**await self._decide(command, request))

    async def BrakeClient(self, request: api.BrakeClientRequest, context: Context) -> api.BrakeClientResponse:
        policy = policy_of(request.policy_version)
        command = BrakeClient(request.client_id, request.moderator_id, end_of(request), policy, self._clock.now())
        return api.BrakeClientResponse(**await self._decide(command, request))

    async def SuspendClient(self, request: api.SuspendClientRequest, context: Context) -> api.SuspendClientResponse:
        policy = policy_of(request.policy_version)
        command = SuspendClient(request.client_id, request.moderator_id, end_of(request), policy, self._clock.now())
        return api.SuspendClientResponse(**await self._decide(command, request))

    async def ConfirmSuspension(
        self, request: api.ConfirmSuspensionRequest, context: Context
    ) -> api.ConfirmSuspensionResponse:
        end = end_of(request)
        command = ConfirmSuspension(request.client_id, request.moderator_id, end, self._policy, self._clock.now())
        return api.ConfirmSuspensionResponse(**await self._decide(command, request))

    async def ReinstateClient(
        self, request: api.ReinstateClientRequest, context: Context
    ) -> api.ReinstateClientResponse:
        command = ReinstateClient(request.client_id, request.moderator_id, request.reinstatement, self._clock.now())
        return api.ReinstateClientResponse(**await self._decide(command, request))

    async def BanClient(self, request: api.BanClientRequest, context: Context) -> api.BanClientResponse:
        command = BanClient(request.client_id, request.moderator_id, self._clock.now())
        return api.BanClientResponse(**await self._decide(command, request))

    async def GetClientStanding(
        self, request: api.GetClientStandingRequest, context: Context
    ) -> api.GetClientStandingResponse:
        standing = await self._path.state(client_stream(request.client_id), CLIENT_STANDING)
        now = self._clock.now()
        at = max(now, standing.as_of or now)  # Whoever decided last may have had a clock ahead of this one.
        return api.GetClientStandingResponse(standing=standing_of(request.client_id, standing, at, self._policy))

    async def ListReports(self, request: api.ListReportsRequest, context: Context) -> api.ListReportsResponse:
        asked = self._pages.of(request, datetime, str)
        reported_at, after = asked.after or (EPOCH, "")
        await self._reads.wait(request.at_least)
        name = "undecided_reports" if request.undecided else "reports"
        of_client = [request.client_id] if request.client_id else []
        if of_client:
            name += "_of_client"
        rows = await self._queries.rows(name, reported_at, after, asked.size + 1, *of_client)
        shown = rows[: asked.size]
        more = len(rows) > asked.size
        return api.ListReportsResponse(
            reports=[report_of_row(row) for row in shown],
            next_page_token=asked.next(shown[-1]["reported_at"], shown[-1]["report_id"]) if more else "",
        )

    async def _run(self, command: Command, request: Message) -> Handled:
        call = current_call()
        return await self._path.run(command, identity_of(call, request), call.origin, call.deadline)

    async def _decide(self, command: Command, request: Message) -> Decided:
        return self._decided(await self._run(command, request))

    def _decided(self, handled: Handled) -> Decided:
        standing: ClientStanding = handled.state
        told = standing_of(client_of(handled.stream), standing, decided_at(standing), self._policy)
        return Decided(standing=told, revision=self._reads.revision(handled.position))


def identity_of(call: CallContext, request: Message) -> Request:
    return call_request(call.scope, call.method, call.request_id, request)


def decided_at(standing: ClientStanding) -> datetime:
    assert standing.as_of is not None  # noqa: S101 - whoever decided appended a fact
    return standing.as_of


def last_message_well_formed(request: api.ReportClientRequest) -> None:
    if request.last_message_sequence and not request.conversation_id:
        raise Rejected("FIELD_MISSING", "conversation_id")
    if request.last_message_sequence > SEQUENCE_MAX:
        raise Rejected("FIELD_MALFORMED", "last_message_sequence")


def policy_of(version: str) -> Policy:
    policy = POLICIES.get(version)
    if policy is None:
        raise Rejected("POLICY_UNKNOWN", "policy_version")
    return policy


def end_of(
    request: api.BrakeClientRequest | api.SuspendClientRequest | api.ConfirmSuspensionRequest,
) -> datetime | None:
    return instant(request.until) if request.HasField("until") else None
