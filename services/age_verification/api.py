"""Calls of age verification's API to commands and queries."""

from typing import Any

import grpc
from google.protobuf.message import Message

from holdspace.age_verification.v1 import service_pb2_grpc
from holdspace.age_verification.v1.events_pb2 import ASSURANCE_LEVEL_UNSPECIFIED
from holdspace.age_verification.v1.service_pb2 import (
    AgeState,
    DeclareAgeRequest,
    DeclareAgeResponse,
    GetAgeStatusRequest,
    GetAgeStatusResponse,
    RequestVerificationRequest,
    RequestVerificationResponse,
    ReverseUnderAgeRequest,
    ReverseUnderAgeResponse,
    RevokeAssuranceRequest,
    RevokeAssuranceResponse,
    SubmitProviderTokenRequest,
    SubmitProviderTokenResponse,
)
from kernel.clock import Clock
from kernel.commands import CommandPath, Handled
from kernel.facts import timestamp
from kernel.grpc.call import current_call
from kernel.grpc.reads import Reads
from kernel.queries import Queries
from kernel.requests import call_request
from kernel.routes import Command
from services.age_verification.domain.client_age import (
    ClientAge,
    DeclareAge,
    RequestVerification,
    ReverseUnderAge,
    RevokeAssurance,
    State,
    TakeEvidence,
)
from services.age_verification.domain.policy import AgePolicy
from services.age_verification.providers import AgeProvider

Context = grpc.aio.ServicerContext[Any, Any]

DATED = (State.ASSURED, State.EXPIRED)
FOUND = (*DATED, State.REVOKED, State.UNDER_AGE)


class AgeVerificationApi(service_pb2_grpc.AgeVerificationServiceServicer):
    def __init__(
        self,
        path: CommandPath,
        provider: AgeProvider,
        queries: Queries,
        reads: Reads,
        policy: AgePolicy,
        clock: Clock,
    ) -> None:
        self._path = path
        self._provider = provider
        self._queries = queries
        self._reads = reads
        self._policy = policy
        self._clock = clock

    async def RequestVerification(
        self, request: RequestVerificationRequest, context: Context
    ) -> RequestVerificationResponse:
        command = RequestVerification(request.client_id, self._policy, self._clock.now())
        handled = await self._run(command, request)
        return RequestVerificationResponse(revision=self._reads.revision(handled.position))

    async def SubmitProviderToken(
        self, request: SubmitProviderTokenRequest, context: Context
    ) -> SubmitProviderTokenResponse:
        """A refused token is a command too: a request repeated after its token ran out gets its first answer."""
        checked = await self._provider.check(request.client_id, request.token)
        command = TakeEvidence(request.client_id, checked, self._policy, self._clock.now())
        handled = await self._run(command, request)
        age: ClientAge = handled.state
        assured_until = age.assured_until if age.evidence is State.ASSURED else None
        return SubmitProviderTokenResponse(
            result=state_of(age.evidence),
            expires_at=timestamp(assured_until) if assured_until else None,
            revision=self._reads.revision(handled.position),
        )

    async def DeclareAge(self, request: DeclareAgeRequest, context: Context) -> DeclareAgeResponse:
        handled = await self._run(DeclareAge(request.client_id, request.over_18, self._clock.now()), request)
        return DeclareAgeResponse(revision=self._reads.revision(handled.position))

    async def RevokeAssurance(self, request: RevokeAssuranceRequest, context: Context) -> RevokeAssuranceResponse:
        command = RevokeAssurance(request.client_id, request.operator_id, self._clock.now())
        handled = await self._run(command, request)
        return RevokeAssuranceResponse(revision=self._reads.revision(handled.position))

    async def ReverseUnderAge(self, request: ReverseUnderAgeRequest, context: Context) -> ReverseUnderAgeResponse:
        command = ReverseUnderAge(request.client_id, request.operator_id, self._clock.now())
        handled = await self._run(command, request)
        return ReverseUnderAgeResponse(revision=self._reads.revision(handled.position))

    async def GetAgeStatus(self, request: GetAgeStatusRequest, context: Context) -> GetAgeStatusResponse:
        await self._reads.wait(request.at_least)
        rows = await self._queries.rows("client_age", request.client_id)
        return self._status(rows[0]) if rows else self._nothing_known()

    def _status(self, row: Any) -> GetAgeStatusResponse:  # noqa: ANN401 - a row
        """The row is the state of the domain by another way; what it means now is said there."""
        age = ClientAge(row["assured_until"], State(row["otherwise"]), tuple(row["unreadable_at"]))
        now = self._clock.now()
        state = age.state_at(now)
        return GetAgeStatusResponse(
            state=state_of(state),
            expires_at=timestamp(row["assured_until"]) if state in DATED else None,
            method=row["method"] if state in FOUND else "",
            assurance_level=row["assurance_level"] if state in FOUND else ASSURANCE_LEVEL_UNSPECIFIED,
            attempts_left=age.attempts_left(self._policy, now),
        )

    def _nothing_known(self) -> GetAgeStatusResponse:
        return GetAgeStatusResponse(state=state_of(State.UNKNOWN), attempts_left=self._policy.unreadable_max)

    async def _run(self, command: Command, request: Message) -> Handled:
        call = current_call()
        identity = call_request(call.scope, call.method, call.request_id, request)
        return await self._path.run(command, identity, call.origin, call.deadline)


def state_of(state: State) -> AgeState.ValueType:
    return AgeState.Value(f"AGE_STATE_{state.value}")
