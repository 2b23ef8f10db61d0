"""The response policies, kept as facts in one stream, `response-policies`."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from holdspace.response_sla.v1 import private_pb2 as facts
from kernel.decision import Decision
from kernel.errors import Rejected
from kernel.facts import instant, timestamp
from services.response_sla.domain.policy import Policies, Policy

STREAM = "response-policies"

# Longer than the clocks of two services may differ: whatever is sent under a policy is decided after it was set.
NOTICE = timedelta(minutes=1)

SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class SetResponsePolicy:
    operator_id: str
    policy: Policy
    now: datetime


Fact = facts.ResponsePolicySet


def decide(command: SetResponsePolicy, policies: Policies) -> Decision:
    """Raises Rejected POLICY_VERSION_TAKEN or POLICY_TOO_SOON."""
    if policies.find(command.policy.version) is not None:
        raise Rejected("POLICY_VERSION_TAKEN", "policy.policy_version")
    if command.policy.in_force_from < command.now + NOTICE:
        raise Rejected("POLICY_TOO_SOON", "policy.in_force_from")
    return Decision([facts.ResponsePolicySet(operator_id=command.operator_id, policy=to_message(command.policy))])


def evolve(policies: Policies, fact: Fact, at: datetime) -> Policies:
    return policies.also(from_message(fact.policy))


def to_message(policy: Policy) -> facts.ResponsePolicy:
    return facts.ResponsePolicy(
        policy_version=policy.version,
        first_response_target_seconds=policy.first_target // SECOND,
        next_response_target_seconds=policy.next_target // SECOND,
        undecided_report_seconds=policy.undecided_max // SECOND,
        comparable_sample_min=policy.sample_min,
        not_owed_return_seconds=policy.return_max // SECOND,
        in_force_from=timestamp(policy.in_force_from),
    )


def from_message(message: facts.ResponsePolicy) -> Policy:
    return Policy(
        version=message.policy_version,
        first_target=timedelta(seconds=message.first_response_target_seconds),
        next_target=timedelta(seconds=message.next_response_target_seconds),
        undecided_max=timedelta(seconds=message.undecided_report_seconds),
        sample_min=message.comparable_sample_min,
        return_max=timedelta(seconds=message.not_owed_return_seconds),
        in_force_from=instant(message.in_force_from),
    )
