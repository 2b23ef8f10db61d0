"""The facts of measures that have an end, with the standing they leave until and after it."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from holdspace.kernel.v1.gate_pb2 import Phase
from holdspace.moderation.v1.events_pb2 import ClientBraked, ClientSuspended
from kernel.facts import timestamp
from services.moderation.domain.client_standing import BRAKED, GOOD, SUSPENDED, standing_phase
from services.moderation.domain.policy import Policy
from services.moderation.domain.reports import Report

GROUNDS_MAX = 1_000  # reports a measure names: a fact has a size limit, which must never stand in a measure's way


def braked(
    client_id: str, until: datetime, policy: Policy, report_ids: Sequence[str], moderator_id: str = ""
) -> ClientBraked:
    """`report_ids` here and below: those it rests on, as `named`."""
    return ClientBraked(
        client_id=client_id,
        standing=[standing_phase(BRAKED, until), standing_phase(GOOD)],
        braked_until=timestamp(until),
        report_ids=report_ids,
        moderator_id=moderator_id,
        policy_version=policy.version,
    )


def suspended(
    client_id: str, until: datetime | None, policy: Policy, report_ids: Sequence[str], moderator_id: str = ""
) -> ClientSuspended:
    """Provisional unless a moderator decided it; without an end when `until` is None."""
    fact = ClientSuspended(
        client_id=client_id,
        standing=suspension(until, policy),
        provisional=not moderator_id,
        report_ids=report_ids,
        moderator_id=moderator_id,
        policy_version=policy.version,
    )
    if until is not None:
        fact.suspended_until.CopyFrom(timestamp(until))
        fact.braked_until.CopyFrom(timestamp(until + policy.brake_term))
    return fact


def suspension(until: datetime | None, policy: Policy) -> list[Phase]:
    """Returns the phases of a suspension: one that ends leaves a brake first."""
    if until is None:
        return [standing_phase(SUSPENDED)]
    return [standing_phase(SUSPENDED, until), standing_phase(BRAKED, until + policy.brake_term), standing_phase(GOOD)]


def named(reports: Iterable[Report]) -> list[str]:
    """Returns the reports' ids, the latest when there are too many to name."""
    return [report.report_id for report in reports][-GROUNDS_MAX:]
