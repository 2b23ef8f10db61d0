"""Age verification's facts as rows: what is known of each client's age."""

from pathlib import Path

from holdspace.age_verification.v1.events_pb2 import (
    AgeAssuranceRevoked,
    AgeAssured,
    ClientFoundUnderAge,
    UnderAgeReversed,
)
from holdspace.age_verification.v1.private_pb2 import AgeSelfDeclared, EvidenceUnreadable, VerificationRequested
from kernel.facts import instant
from kernel.projected import Each
from kernel.read_model import ReadModel
from kernel.replay import StoredFact
from kernel.sql import queries
from services.age_verification.domain.client_age import State

HERE = Path(__file__).parent


def assured_row(_: StoredFact, fact: AgeAssured) -> tuple[object, ...]:
    return (fact.client_id, State.EXPIRED.value, instant(fact.expires_at), fact.method, fact.assurance_level)


def under_age_row(_: StoredFact, fact: ClientFoundUnderAge) -> tuple[object, ...]:
    return (fact.client_id, State.UNDER_AGE.value, None, fact.method, fact.assurance_level)


READ_MODEL = ReadModel(
    revision=4,
    tables=[HERE / "read_model.sql"],
    statements=queries(HERE / "projections.sql"),
    writes={
        VerificationRequested: [Each("set_state", lambda _, fact: (fact.client_id, State.PENDING.value))],
        EvidenceUnreadable: [
            Each("set_state", lambda _, fact: (fact.client_id, State.UNREADABLE.value)),
            Each("count_unreadable", lambda read, fact: (fact.client_id, read.occurred_at)),
        ],
        AgeAssured: [Each("set_assured", assured_row)],
        ClientFoundUnderAge: [Each("set_finding", under_age_row)],
        AgeAssuranceRevoked: [Each("end_assurance", lambda _, fact: (fact.client_id, State.REVOKED.value))],
        UnderAgeReversed: [Each("forget", lambda _, fact: (fact.client_id,))],
    },
    ignores=[AgeSelfDeclared],
)
