"""`holdspace enrolment` and `holdspace conversation`: what was wrong is put right, on record with who and why."""

import asyncio
import secrets
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import click

from holdspace.messaging.v1.service_pb2 import TurnRolesRequest
from holdspace.messaging.v1.service_pb2_grpc import MessagingServiceStub
from holdspace.scheduling.v1.service_pb2 import EnrolTherapistRequest, WithdrawEnrolmentRequest
from holdspace.scheduling.v1.service_pb2_grpc import SchedulingServiceStub
from infra.cli.calls import calling, insist
from infra.cli.where import api_option, subject_of, token_option

Command = TypeVar("Command", bound=Callable[..., Any])


def operator_option(command: Command) -> Command:
    return click.option("--operator", metavar="ID", help="Who does it. Default: whom the token speaks for.")(command)


def reason_option(command: Command) -> Command:
    return click.option("--reason", required=True, metavar="TEXT", help="Kept on record. At most 2,000 bytes.")(command)


@click.group()
def enrolment() -> None:
    """Who is a therapist of the practice."""


@enrolment.command("enrol")
@click.argument("therapist")
@operator_option
@api_option("scheduling")
@token_option("scheduling.enrol", "act_for")
def enrol(therapist: str, operator: str | None, scheduling: str, token: str) -> None:
    """Enrol THERAPIST: from now on they can be addressed and booked."""
    request = EnrolTherapistRequest(
        request_id=secrets.token_hex(16), operator_id=operator or subject_of(token), therapist_id=therapist
    )
    asyncio.run(_call("scheduling", scheduling, token, SchedulingServiceStub, "EnrolTherapist", request))
    click.echo(f"{therapist} is enrolled")


@enrolment.command("withdraw")
@click.argument("therapist")
@reason_option
@operator_option
@api_option("scheduling")
@token_option("scheduling.enrol", "act_for")
def withdraw(therapist: str, reason: str, operator: str | None, scheduling: str, token: str) -> None:
    """Withdraw the enrolment of THERAPIST: they can be neither addressed nor booked, and what is ahead is cancelled."""
    request = WithdrawEnrolmentRequest(
        request_id=secrets.token_hex(16),
        operator_id=operator or subject_of(token),
        therapist_id=therapist,
        reason=reason,
    )
    asyncio.run(_call("scheduling", scheduling, token, SchedulingServiceStub, "WithdrawEnrolment", request))
    click.echo(f"{therapist} is enrolled no more; what was ahead with them is being cancelled")


@click.group()
def conversation() -> None:
    """Conversations that were imported."""


@conversation.command("turn-roles")
@click.argument("conversation_id", metavar="CONVERSATION")
@click.argument("therapist")
@reason_option
@operator_option
@api_option("messaging")
@token_option("messaging.import", "act_for")
def turn_roles(
    conversation_id: str, therapist: str, reason: str, operator: str | None, messaging: str, token: str
) -> None:
    """Make THERAPIST the therapist of an imported CONVERSATION, and the other one its client.

    It enrols nobody and withdraws no enrolment: see holdspace enrolment.
    """
    request = TurnRolesRequest(
        request_id=secrets.token_hex(16),
        operator_id=operator or subject_of(token),
        conversation_id=conversation_id,
        therapist_id=therapist,
        reason=reason,
    )
    told = asyncio.run(_call("messaging", messaging, token, MessagingServiceStub, "TurnRoles", request))
    click.echo(f"client {told.client_id}, therapist {told.therapist_id}")


async def _call(service: str, target: str, token: str, stub: Any, method: str, request: Any) -> Any:  # noqa: ANN401 - generated
    async with calling(service, target, token) as channel:
        return await insist(partial(getattr(stub(channel), method), request))
