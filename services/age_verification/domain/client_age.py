"""What is known of a client's age: requested, vouched for, found to be under age, taken back."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum
from typing import assert_never

from holdspace.age_verification.v1.events_pb2 import (
    AgeAssuranceRevoked,
    AgeAssured,
    ClientFoundUnderAge,
    UnderAgeReversed,
)
from holdspace.age_verification.v1.private_pb2 import AgeSelfDeclared, EvidenceUnreadable, VerificationRequested
from kernel.decision import Decision
from kernel.errors import Rejected
from kernel.facts import instant, timestamp
from kernel.gates import phase
from kernel.store.interface import NameClaim
from services.age_verification.domain.evidence import Checked, Over18, Refused, UnderAge, Unreadable
from services.age_verification.domain.policy import AgePolicy

Fact = (
    VerificationRequested
    | EvidenceUnreadable
    | AgeSelfDeclared
    | AgeAssured
    | ClientFoundUnderAge
    | AgeAssuranceRevoked
    | UnderAgeReversed
)


@dataclass(frozen=True, slots=True)
class RequestVerification:
    client_id: str
    policy: AgePolicy
    now: datetime


@dataclass(frozen=True, slots=True)
class TakeEvidence:
    client_id: str
    checked: Checked
    policy: AgePolicy
    now: datetime


@dataclass(frozen=True, slots=True)
class DeclareAge:
    client_id: str
    over_18: bool
    now: datetime


@dataclass(frozen=True, slots=True)
class RevokeAssurance:
    client_id: str
    operator_id: str
    now: datetime


@dataclass(frozen=True, slots=True)
class ReverseUnderAge:
    client_id: str
    operator_id: str
    now: datetime


class State(Enum):
    UNKNOWN = "UNKNOWN"
    PENDING = "PENDING"
    ASSURED = "ASSURED"
    UNREADABLE = "UNREADABLE"
    UNDER_AGE = "UNDER_AGE"
    EXPIRED = "EXPIRED"
    REVOKED = "REVOKED"


@dataclass(frozen=True, slots=True)
class ClientAge:
    """`otherwise`: the state when no assurance holds, by what happened last. `unreadable_at`: when evidence could not
    be made out, since the last time it could. `evidence`: what the last evidence comes to by itself. `overruled_at`:
    when evidence was last overruled; what was issued until then counts no more.
    """

    assured_until: datetime | None = None
    otherwise: State = State.UNKNOWN
    unreadable_at: tuple[datetime, ...] = ()
    evidence: State = State.UNKNOWN
    overruled_at: datetime | None = None

    def state_at(self, now: datetime) -> State:
        """An assurance that holds outweighs a verification under way."""
        return State.ASSURED if self.assured_until is not None and now < self.assured_until else self.otherwise

    def attempts_left(self, policy: AgePolicy, now: datetime) -> int:
        """Each attempt comes back when the rest that the policy asks for has passed since."""
        recent = [at for at in self.unreadable_at if now - at < policy.unreadable_rest]
        return max(0, policy.unreadable_max - len(recent))


def request(command: RequestVerification, age: ClientAge) -> Decision:
    must_be_open(age)
    must_have_attempts(command, age)
    return Decision([] if age.otherwise is State.PENDING else [VerificationRequested(client_id=command.client_id)])


def take(command: TakeEvidence, age: ClientAge) -> Decision:
    evidence = command.checked
    if isinstance(evidence, Refused):
        raise Rejected(evidence.reason, evidence.field)
    must_be_open(age)
    must_not_be_overruled(evidence, age)
    return Decision(
        [finding_of(command, evidence, age)], claims=[NameClaim(f"receipt-{evidence.receipt_sha256.hex()}")]
    )


def finding_of(command: TakeEvidence, evidence: Unreadable | Over18 | UnderAge, age: ClientAge) -> Fact:
    """Under age is taken at any level of assurance and however many attempts there were: an appeal can reverse it."""
    match evidence:
        case UnderAge():
            return ClientFoundUnderAge(
                client_id=command.client_id,
                age=[phase("UNDER_AGE")],
                method=evidence.method,
                assurance_level=evidence.level,
                issued_at=timestamp(evidence.issued_at),
                receipt_sha256=evidence.receipt_sha256,
            )
        case Unreadable():
            must_have_attempts(command, age)
            return EvidenceUnreadable(
                client_id=command.client_id,
                method=evidence.method,
                issued_at=timestamp(evidence.issued_at),
                receipt_sha256=evidence.receipt_sha256,
            )
        case Over18():
            must_have_attempts(command, age)
            return assured(command, evidence, age)
        case _:
            assert_never(evidence)


def assured(command: TakeEvidence, evidence: Over18, age: ClientAge) -> AgeAssured:
    if evidence.expires_at <= command.now:
        raise Rejected("RESULT_EXPIRED", "token")
    if evidence.level < command.policy.level_min:
        raise Rejected("ASSURANCE_TOO_LOW", "token")
    return AgeAssured(
        client_id=command.client_id,
        age=[phase("ASSURED", later(age.assured_until, evidence.expires_at)), phase("EXPIRED")],
        method=evidence.method,
        assurance_level=evidence.level,
        issued_at=timestamp(evidence.issued_at),
        expires_at=timestamp(evidence.expires_at),
        receipt_sha256=evidence.receipt_sha256,
    )


def must_be_open(age: ClientAge) -> None:
    if age.otherwise is State.UNDER_AGE:
        raise Rejected("CLIENT_UNDER_AGE", "client_id")


def must_not_be_overruled(evidence: Unreadable | Over18 | UnderAge, age: ClientAge) -> None:
    """Evidence of the same instant as the decision may be what it overruled, so it counts no more either."""
    if age.overruled_at is not None and evidence.issued_at <= age.overruled_at:
        raise Rejected("EVIDENCE_OVERRULED", "token")


def later(one: datetime | None, other: datetime) -> datetime:
    return other if one is None else max(one, other)


def must_have_attempts(command: RequestVerification | TakeEvidence, age: ClientAge) -> None:
    if not age.attempts_left(command.policy, command.now):
        raise Rejected("ATTEMPTS_EXHAUSTED")


def declare(command: DeclareAge, _: ClientAge) -> Decision:
    return Decision([AgeSelfDeclared(client_id=command.client_id, over_18=command.over_18)])


def revoke(command: RevokeAssurance, age: ClientAge) -> Decision:
    if age.state_at(command.now) is not State.ASSURED:
        raise Rejected("NOT_ASSURED", "client_id")
    revoked = AgeAssuranceRevoked(client_id=command.client_id, age=[phase("REVOKED")], operator_id=command.operator_id)
    return Decision([revoked])


def reverse(command: ReverseUnderAge, age: ClientAge) -> Decision:
    if age.otherwise is not State.UNDER_AGE:
        raise Rejected("NOT_UNDER_AGE", "client_id")
    reversed_ = UnderAgeReversed(client_id=command.client_id, age=[phase("UNKNOWN")], operator_id=command.operator_id)
    return Decision([reversed_])


def evolve(age: ClientAge, fact: Fact, at: datetime) -> ClientAge:
    match fact:
        case VerificationRequested():
            return replace(age, otherwise=State.PENDING)
        case EvidenceUnreadable():
            unreadable_at = (*age.unreadable_at, at)
            return replace(age, otherwise=State.UNREADABLE, unreadable_at=unreadable_at, evidence=State.UNREADABLE)
        case AgeSelfDeclared():
            return age  # On record, and without weight.
        case AgeAssured():
            return replace(
                age,
                assured_until=later(age.assured_until, instant(fact.expires_at)),
                otherwise=State.EXPIRED,
                unreadable_at=(),
                evidence=State.ASSURED,
            )
        case ClientFoundUnderAge():
            return replace(
                age, assured_until=None, otherwise=State.UNDER_AGE, unreadable_at=(), evidence=State.UNDER_AGE
            )
        case AgeAssuranceRevoked():
            return replace(age, assured_until=None, otherwise=State.REVOKED, overruled_at=at)
        case UnderAgeReversed():
            return replace(
                age,
                assured_until=None,
                otherwise=State.UNKNOWN,
                unreadable_at=(),
                evidence=State.UNKNOWN,
                overruled_at=at,
            )
        case _:
            assert_never(fact)
