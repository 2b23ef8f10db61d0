from dataclasses import replace
from datetime import datetime, timedelta
from hashlib import sha256

import pytest

from holdspace.age_verification.v1 import events_pb2, private_pb2
from holdspace.age_verification.v1.events_pb2 import (
    ASSURANCE_LEVEL_HIGH,
    ASSURANCE_LEVEL_LOW,
    ASSURANCE_LEVEL_SUBSTANTIAL,
    AgeAssuranceRevoked,
    AgeAssured,
    AssuranceLevel,
    ClientFoundUnderAge,
    UnderAgeReversed,
)
from holdspace.age_verification.v1.private_pb2 import AgeSelfDeclared, EvidenceUnreadable, VerificationRequested
from holdspace.kernel.v1.gate_pb2 import Phase
from kernel.facts import timestamp
from kernel.gates import phase
from kernel.store.interface import NameClaim
from services.age_verification.app import CLIENT_AGE
from services.age_verification.domain import client_age as domain
from services.age_verification.domain.client_age import (
    DeclareAge,
    RequestVerification,
    ReverseUnderAge,
    RevokeAssurance,
    State,
    TakeEvidence,
)
from services.age_verification.domain.evidence import Checked, Over18, Refused, UnderAge, Unreadable
from services.age_verification.domain.policy import AgePolicy
from tests.sentences import START, Sentences, Timed, at

REQUESTING, TAKING, DECLARING, REVOKING, REVERSING = (
    Sentences(CLIENT_AGE, decide)
    for decide in (domain.request, domain.take, domain.declare, domain.revoke, domain.reverse)
)
POLICY = AgePolicy()
SECOND, DAY = timedelta(seconds=1), timedelta(days=1)
ISSUED, EXPIRES = START - SECOND, START + 365 * DAY
RECEIPT = sha256(b"receipt").digest()
SAID = {"method": "document", "issued_at": ISSUED, "receipt_sha256": RECEIPT}
TOLD = {"client_id": "c", "method": "document", "issued_at": timestamp(ISSUED), "receipt_sha256": RECEIPT}

OVER_18 = Over18(**SAID, level=ASSURANCE_LEVEL_SUBSTANTIAL, expires_at=EXPIRES)
UNDER_AGE = UnderAge(**SAID, level=ASSURANCE_LEVEL_SUBSTANTIAL)
UNREADABLE = Unreadable(**SAID)

REQUESTED = VerificationRequested(client_id="c")
NOT_READ = EvidenceUnreadable(**TOLD)
REVOKED = AgeAssuranceRevoked(client_id="c", age=[phase("REVOKED")], operator_id="o")
REVERSED = UnderAgeReversed(client_id="c", age=[phase("UNKNOWN")], operator_id="o")
REQUEST = RequestVerification("c", POLICY, START)
REVOKE, REVERSE = RevokeAssurance("c", "o", START), ReverseUnderAge("c", "o", START)


def taking(checked: Checked, now: datetime = START) -> TakeEvidence:
    return TakeEvidence("c", checked, POLICY, now)


def assured(until: datetime = EXPIRES, level: AssuranceLevel.ValueType = ASSURANCE_LEVEL_SUBSTANTIAL) -> AgeAssured:
    phases = [phase("ASSURED", until), phase("EXPIRED")]
    return AgeAssured(**TOLD, age=phases, assurance_level=level, expires_at=timestamp(until))


def under_age(level: AssuranceLevel.ValueType = ASSURANCE_LEVEL_SUBSTANTIAL) -> ClientFoundUnderAge:
    return ClientFoundUnderAge(**TOLD, age=[phase("UNDER_AGE")], assurance_level=level)


def state(*facts: object, now: datetime = START + timedelta(hours=1)) -> State:
    return REQUESTING.given(*facts).state.state_at(now)  # type: ignore[arg-type]


@pytest.mark.rule("AV2")
def test_what_a_provider_vouches_for_is_kept_until_it_expires_and_its_receipt_is_claimed() -> None:
    decision = TAKING.given(REQUESTED).when(taking(OVER_18)).then(assured())
    assert decision.claims == [NameClaim(f"receipt-{RECEIPT.hex()}")]


FIELDS = {
    VerificationRequested: "client_id",
    EvidenceUnreadable: "client_id method issued_at receipt_sha256",
    AgeSelfDeclared: "client_id over_18",
    AgeAssured: "client_id age method assurance_level issued_at expires_at receipt_sha256",
    ClientFoundUnderAge: "client_id age method assurance_level issued_at receipt_sha256",
    AgeAssuranceRevoked: "client_id age operator_id",
    UnderAgeReversed: "client_id age operator_id",
    Phase: "state until closed",  # what `age` is made of
}


@pytest.mark.rule("AV2")
def test_no_fact_has_room_for_a_date_of_birth() -> None:
    """A new fact or field fails this until somebody has looked whether a date of birth could be in it."""
    declared = [name for module in (events_pb2, private_pb2) for name in module.DESCRIPTOR.message_types_by_name]
    assert set(declared) == {fact.DESCRIPTOR.name for fact in FIELDS if fact is not Phase}
    for fact, fields in FIELDS.items():
        assert [field.name for field in fact.DESCRIPTOR.fields] == fields.split()


@pytest.mark.rule("AV3")
def test_the_state_follows_the_facts_and_the_time() -> None:
    assert state() is State.UNKNOWN
    assert state(REQUESTED) is State.PENDING
    assert state(REQUESTED, NOT_READ) is State.UNREADABLE
    assert state(REQUESTED, NOT_READ, REQUESTED) is State.PENDING
    assert state(REQUESTED, assured()) is State.ASSURED
    assert state(assured(), REVOKED) is State.REVOKED
    assert state(assured(), under_age()) is State.UNDER_AGE
    assert state(under_age(), REVERSED) is State.UNKNOWN


@pytest.mark.rule("AV3")
def test_an_assurance_ends_by_the_time_it_carries() -> None:
    assert state(assured(), now=EXPIRES - timedelta(microseconds=1)) is State.ASSURED
    assert state(assured(), now=EXPIRES) is State.EXPIRED


@pytest.mark.rule("AV3")
def test_what_the_last_evidence_comes_to_is_told_beside_the_state() -> None:
    for facts, evidence in (
        ((), State.UNKNOWN),
        ((assured(), REQUESTED), State.ASSURED),
        ((assured(), NOT_READ), State.UNREADABLE),
        ((NOT_READ, assured()), State.ASSURED),
        ((assured(), under_age()), State.UNDER_AGE),
        ((assured(), REVOKED), State.ASSURED),
        ((under_age(), REVERSED), State.UNKNOWN),
    ):
        assert TAKING.given(*facts).state.evidence is evidence


@pytest.mark.rule("AV3")
def test_a_renewal_under_way_or_unreadable_takes_nothing_from_an_assurance_that_holds() -> None:
    for facts in ((assured(), REQUESTED), (assured(), REQUESTED, NOT_READ)):
        assert state(*facts) is State.ASSURED
    assert state(assured(), REQUESTED, now=EXPIRES) is State.PENDING
    assert state(assured(), NOT_READ, now=EXPIRES) is State.UNREADABLE
    assert state(assured(), NOT_READ, REVOKED) is State.REVOKED


def test_a_verification_under_way_is_not_requested_twice() -> None:
    REQUESTING.given().when(REQUEST).then(REQUESTED)
    REQUESTING.given(REQUESTED).when(REQUEST).then()
    for facts in ((NOT_READ,), (assured(),), (assured(), REVOKED), (under_age(), REVERSED)):
        REQUESTING.given(*facts).when(REQUEST).then(REQUESTED)


@pytest.mark.rule("AV2")
def test_a_result_that_is_over_does_not_count() -> None:
    for expires in (START, START - SECOND):
        TAKING.given().when(taking(replace(OVER_18, expires_at=expires))).refused("RESULT_EXPIRED", "token")


@pytest.mark.rule("AV2")
def test_a_result_below_the_least_level_is_refused_and_one_above_it_taken() -> None:
    TAKING.given().when(taking(replace(OVER_18, level=ASSURANCE_LEVEL_LOW))).refused("ASSURANCE_TOO_LOW", "token")
    high = replace(OVER_18, level=ASSURANCE_LEVEL_HIGH)
    TAKING.given().when(taking(high)).then(assured(level=ASSURANCE_LEVEL_HIGH))
    lenient = replace(taking(replace(OVER_18, level=ASSURANCE_LEVEL_LOW)), policy=AgePolicy(ASSURANCE_LEVEL_LOW))
    TAKING.given().when(lenient).then(assured(level=ASSURANCE_LEVEL_LOW))


@pytest.mark.rule("AV3")
def test_under_age_is_final_until_an_appeal_reverses_it() -> None:
    TAKING.given(assured()).when(taking(UNDER_AGE)).then(under_age())
    for sentences, command in ((REQUESTING, REQUEST), (TAKING, taking(OVER_18)), (TAKING, taking(UNREADABLE))):
        sentences.given(under_age()).when(command).refused("CLIENT_UNDER_AGE", "client_id")
    REVERSING.given(under_age()).when(REVERSE).then(REVERSED)


@pytest.mark.rule("AV3")
def test_there_is_nothing_to_reverse_for_a_client_who_is_not_under_age() -> None:
    for facts in ((), (assured(),), (NOT_READ,), (under_age(), REVERSED)):
        REVERSING.given(*facts).when(REVERSE).refused("NOT_UNDER_AGE", "client_id")


def unreadable_at(*hours: float) -> list[Timed]:
    return [at(START + timedelta(hours=hour), NOT_READ) for hour in hours]


@pytest.mark.rule("AV3")
def test_unreadable_evidence_may_be_retried_three_times_and_is_no_ban() -> None:
    later = START + timedelta(hours=3)
    for attempts in range(3):
        TAKING.given(*unreadable_at(*range(attempts))).when(taking(UNREADABLE, later)).then(NOT_READ)
        TAKING.given(*unreadable_at(*range(attempts))).when(taking(OVER_18, later)).then(assured())
    given = unreadable_at(0, 1, 2)
    for command in (taking(UNREADABLE, later), taking(OVER_18, later)):
        TAKING.given(*given).when(command).refused("ATTEMPTS_EXHAUSTED")
    REQUESTING.given(*given).when(replace(REQUEST, now=later)).refused("ATTEMPTS_EXHAUSTED")
    assert state(*given) is State.UNREADABLE


@pytest.mark.rule("AV3")
def test_each_attempt_comes_back_a_day_after_it_and_all_of_them_with_a_readable_result() -> None:
    given = TAKING.given(*unreadable_at(0, 1, 2))
    left = [given.state.attempts_left(POLICY, START + timedelta(hours=hour)) for hour in (3, 24, 25, 26)]
    assert left == [0, 1, 2, 3]
    given.when(taking(OVER_18, START + DAY)).then(assured())
    for readable in (assured(), under_age()):
        state_then = TAKING.given(*unreadable_at(0, 1), readable).state
        assert state_then.attempts_left(POLICY, START + timedelta(hours=3)) == 3


@pytest.mark.rule("AV3")
def test_a_client_is_found_under_age_at_any_level_and_however_many_attempts_there_were() -> None:
    low = replace(UNDER_AGE, level=ASSURANCE_LEVEL_LOW)
    later = START + timedelta(hours=3)
    TAKING.given(*unreadable_at(0, 1, 2)).when(taking(low, later)).then(under_age(ASSURANCE_LEVEL_LOW))


@pytest.mark.rule("AV1")
def test_a_token_that_was_refused_leaves_no_trace_whatever_the_state() -> None:
    for facts in ((), (REQUESTED,), (assured(),), (under_age(),)):
        TAKING.given(*facts).when(taking(Refused("PROVIDER_TOKEN_INVALID", "token"))).refused(
            "PROVIDER_TOKEN_INVALID", "token"
        )


@pytest.mark.rule("AV1")
def test_what_clients_say_of_themselves_is_recorded_and_opens_nothing() -> None:
    declared = AgeSelfDeclared(client_id="c", over_18=True)
    DECLARING.given().when(DeclareAge("c", True, START)).then(declared)
    assert state(declared) is State.UNKNOWN
    assert state(assured(), AgeSelfDeclared(client_id="c")) is State.ASSURED


OVERRULED = {
    "a revocation": (assured(), at(START, REVOKED)),
    "a reversal": (under_age(), at(START, REVERSED)),
    "a reversal, by the last of two decisions": (
        at(START - 2 * DAY, assured()),
        at(START - DAY, REVOKED),
        under_age(),
        at(START, REVERSED),
    ),
}
WITH_LEVEL = {"level": ASSURANCE_LEVEL_SUBSTANTIAL}


@pytest.mark.rule("AV3.a")
@pytest.mark.parametrize("decision", OVERRULED)
def test_evidence_issued_before_a_decision_that_overruled_evidence_or_at_that_instant_counts_no_more(
    decision: str,
) -> None:
    given = TAKING.given(*OVERRULED[decision])
    for issued in (START - DAY, START - timedelta(microseconds=1), START):
        said = {**SAID, "issued_at": issued}
        for old in (
            Over18(**said, **WITH_LEVEL, expires_at=EXPIRES),
            UnderAge(**said, **WITH_LEVEL),
            Unreadable(**said),
        ):
            given.when(taking(old, START + DAY)).refused("EVIDENCE_OVERRULED", "token")


@pytest.mark.rule("AV3.a")
@pytest.mark.parametrize("decision", OVERRULED)
def test_evidence_issued_after_the_decision_that_overruled_evidence_counts_again(decision: str) -> None:
    said = {**SAID, "issued_at": START + SECOND}
    new = TAKING.given(*OVERRULED[decision])
    [over_18] = new.when(taking(Over18(**said, **WITH_LEVEL, expires_at=EXPIRES), START + DAY)).decision().facts
    [found] = new.when(taking(UnderAge(**said, **WITH_LEVEL), START + DAY)).decision().facts
    assert (type(over_18), type(found)) == (AgeAssured, ClientFoundUnderAge)


@pytest.mark.rule("AV3.b")
def test_a_result_with_an_earlier_end_is_recorded_and_shortens_no_longer_one_that_holds() -> None:
    sooner = EXPIRES - DAY
    decision = TAKING.given(assured()).when(taking(replace(OVER_18, expires_at=sooner))).decision()
    [recorded] = decision.facts
    assert list(recorded.age) == [phase("ASSURED", EXPIRES), phase("EXPIRED")]  # type: ignore[attr-defined]
    assert recorded.expires_at == timestamp(sooner)  # type: ignore[attr-defined]
    both = (assured(), recorded)
    assert (state(*both, now=sooner), state(*both, now=EXPIRES)) == (State.ASSURED, State.EXPIRED)


@pytest.mark.rule("AV3.b")
def test_a_longer_result_that_no_longer_holds_lends_nothing_to_a_shorter_one() -> None:
    sooner = EXPIRES - DAY
    after = replace(OVER_18, expires_at=sooner, issued_at=START + SECOND)
    for facts in ((assured(), at(START, REVOKED)), (assured(), under_age(), at(START, REVERSED))):
        [recorded] = TAKING.given(*facts).when(taking(after, START + DAY)).decision().facts
        assert list(recorded.age) == [phase("ASSURED", sooner), phase("EXPIRED")]  # type: ignore[attr-defined]
        assert state(*facts, recorded, now=sooner) is State.EXPIRED


def test_an_operator_takes_back_only_an_assurance_that_holds() -> None:
    REVOKING.given(assured()).when(REVOKE).then(REVOKED)
    for facts in ((), (REQUESTED,), (assured(START),), (assured(), REVOKED), (under_age(),)):
        REVOKING.given(*facts).when(REVOKE).refused("NOT_ASSURED", "client_id")
