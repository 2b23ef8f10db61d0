"""Response policies as the API takes and shows them."""

from datetime import UTC, datetime
from typing import Any

from holdspace.response_sla.v1.private_pb2 import ResponsePolicy
from holdspace.response_sla.v1.service_pb2 import GetFiguresUnderPolicyRequest
from kernel.errors import Rejected
from kernel.facts import instant
from kernel.queries import Queries
from services.response_sla.domain.policy import Policies, Policy
from services.response_sla.domain.response_policy import from_message

SECONDS_MAX = 366 * 24 * 3600
SAMPLE_MAX = 1_000_000

LIMITS = {
    "first_response_target_seconds": SECONDS_MAX,
    "next_response_target_seconds": SECONDS_MAX,
    "undecided_report_seconds": SECONDS_MAX,
    "comparable_sample_min": SAMPLE_MAX,
    "not_owed_return_seconds": SECONDS_MAX,
}

LAST = datetime(9000, 1, 1, tzinfo=UTC)


def policy_asked(message: ResponsePolicy) -> Policy:
    """Takes a request's field `policy`. Raises Rejected FIELD_MISSING, FIELD_MALFORMED for what no policy can be."""
    for name, largest in LIMITS.items():
        value = getattr(message, name)
        if not value:
            raise Rejected("FIELD_MISSING", f"policy.{name}")
        if value > largest:
            raise Rejected("FIELD_MALFORMED", f"policy.{name}")
    return from_message(message)


def policy_to_set(message: ResponsePolicy) -> Policy:
    """As `policy_asked`, with a version and a beginning."""
    if not message.policy_version:
        raise Rejected("FIELD_MISSING", "policy.policy_version")
    if not message.HasField("in_force_from"):
        raise Rejected("FIELD_MISSING", "policy.in_force_from")
    if instant(message.in_force_from) > LAST:
        raise Rejected("FIELD_MALFORMED", "policy.in_force_from")
    return policy_asked(message)


def policy_under(request: GetFiguresUnderPolicyRequest, policies: Policies) -> Policy:
    """Returns the policy asked for. Raises Rejected FIELD_MISSING, FIELD_MALFORMED, or POLICY_UNKNOWN."""
    match request.WhichOneof("under"):
        case "policy":
            return policy_asked(request.policy)
        case "policy_version":
            policy = policies.find(request.policy_version)
            if policy is None:
                raise Rejected("POLICY_UNKNOWN", "policy_version")
            return policy
        case _:
            raise Rejected("FIELD_MISSING", "policy")


def policy_of(row: Any) -> Policy:  # noqa: ANN401 - a row
    return Policy(
        version=row["version"],
        first_target=row["first_target"],
        next_target=row["next_target"],
        undecided_max=row["undecided_max"],
        sample_min=row["sample_min"],
        return_max=row["return_max"],
        in_force_from=row["in_force_from"],
    )


async def policies_at(queries: Queries, position: int) -> Policies:
    """Returns the policies that were set by a position of this service's store."""
    rows = await queries.rows("policies", position)
    return Policies((*Policies().known, *(policy_of(row) for row in rows)))
