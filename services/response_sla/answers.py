"""Rows to waits, and waits and figures to what the API answers."""

from typing import Any

from holdspace.response_sla.v1 import service_pb2
from kernel.facts import timestamp
from services.response_sla.completeness import Input
from services.response_sla.domain.figures import MILLISECOND, Figures, Group, target
from services.response_sla.domain.policy import Policies
from services.response_sla.domain.wait import Answered, Ending, Exclusion, NotOwed, Voided, Wait, WaitState

STATES = {
    WaitState.OPEN: service_pb2.WAIT_STATE_OPEN,
    WaitState.ANSWERED: service_pb2.WAIT_STATE_CLOSED,
    WaitState.VOIDED: service_pb2.WAIT_STATE_VOIDED,
    WaitState.NOT_OWED: service_pb2.WAIT_STATE_NOT_OWED,
    WaitState.EXCLUDED: service_pb2.WAIT_STATE_EXCLUDED,
}


def wait_of(row: Any) -> Wait:  # noqa: ANN401 - a row
    ending: Ending | None = None
    if row["answered_at"] is not None:
        ending = Answered(row["answered_at"], row["answered_by"])
    elif row["voided_at"] is not None:
        ending = Voided(row["voided_at"], row["void_reason"], row["void_report_id"])
    elif row["not_owed_at"] is not None:
        ending = NotOwed(row["not_owed_at"], row["returns_until"])
    spans = row["not_owed_spans"]
    not_owed = tuple(zip(spans[::2], spans[1::2], strict=True))
    exclusion = Exclusion(row["excluded_by"], row["exclusion_final"]) if row["excluded_by"] is not None else None
    return Wait(
        row["opening_sequence"],
        row["kind"],
        row["opened_at"],
        ending,
        exclusion,
        row["policy_version"],
        not_owed,
    )


def group_message(group: Group) -> service_pb2.FigureGroup:
    share = group.share_within
    return service_pb2.FigureGroup(
        opened=group.opened,
        count=group.closed,
        open=group.open,
        voided=group.voided,
        excluded=group.excluded,
        not_owed=group.not_owed,
        median_ms=group.median_ms,
        p90_ms=group.p90_ms,
        closed_within_target=group.closed_within,
        open_past_target=group.open_past,
        share_within_target=None if share is None else float(share),
        comparable=group.is_ranked,
    )


def figures_message(therapist_id: str, found: Figures) -> service_pb2.TherapistFigures:
    return service_pb2.TherapistFigures(
        therapist_id=therapist_id,
        first=group_message(found.first),
        next=group_message(found.next),
        all=group_message(found.all),
        policy_versions=found.policy_versions,
    )


def wait_message(row: Any, wait: Wait, policies: Policies) -> service_pb2.ListedWait:  # noqa: ANN401 - a row
    """`wait`: as it stood at the instant asked for."""
    listed = service_pb2.ListedWait(
        conversation_id=row["conversation_id"],
        client_id=row["client_id"],
        opening_sequence=wait.opening_sequence,
        kind=wait.kind,
        state=STATES[wait.state],
        opened_at=timestamp(wait.opened_at),
        ended_at=timestamp(wait.ending.at) if wait.ending is not None else None,
        policy_version=wait.policy_version,
        target_ms=target(wait, policies) // MILLISECOND,
    )
    match wait.ending:
        case Answered(at, sequence):
            listed.answering_sequence = sequence
            if wait.state is WaitState.ANSWERED:
                listed.response_ms = (at - wait.opened_at) // MILLISECOND
        case Voided(_, reason, report_id):
            listed.void_reason = reason
            listed.report_id = report_id
        case NotOwed(_, returns_until):
            if returns_until is not None:
                listed.returns_until.CopyFrom(timestamp(returns_until))
        case None:
            pass
    if wait.exclusion is not None:
        listed.report_id = wait.exclusion.report_id
        listed.provisional = not wait.exclusion.final
    return listed


def input_message(found: Input) -> service_pb2.InputProgress:
    return service_pb2.InputProgress(
        consumer=found.consumer,
        topic=found.topic,
        source=found.source,
        position=found.position,
        reached=timestamp(found.reached) if found.reached is not None else None,
    )
