"""Response-SLA's facts as rows: which conversations a client has, and every wait as it was ever stated."""

from collections.abc import Sequence
from operator import attrgetter
from pathlib import Path

from holdspace.kernel.v1.gate_pb2 import GateCopied
from holdspace.response_sla.v1.private_pb2 import (
    ConversationEvaluated,
    DecisionNoted,
    MessageNoted,
    PartiesTurned,
    ReplyNotOwed,
    ReportNoted,
    ResponsePolicySet,
    StandingNoted,
    StandingRestated,
    WaitAnswered,
    WaitExcluded,
    WaitNotOwed,
    WaitOpened,
    WaitRestated,
    WaitResumed,
    WaitVoided,
    WaitWithdrawn,
)
from kernel.gate_copies import GATE_STATEMENTS, GATE_TABLES, GATE_WRITES
from kernel.projected import Add, All, Last, Write
from kernel.read_model import ReadModel
from kernel.replay import StoredFact
from kernel.sql import queries
from services.response_sla.domain.response_policy import from_message as from_policy_message
from services.response_sla.domain.wait import Answered, NotOwed, Voided, WaitFact, from_message

HERE = Path(__file__).parent

WAIT = (
    "position",
    "recorded_at",
    "conversation_id",
    "opening_sequence",
    "client_id",
    "therapist_id",
    "kind",
    "opened_at",
    "answered_at",
    "answered_by",
    "voided_at",
    "void_reason",
    "void_report_id",
    "excluded_by",
    "exclusion_final",
    "policy_version",
    "not_owed_at",
    "returns_until",
    "not_owed_spans",
)
POLICY = (
    "position",
    "recorded_at",
    "version",
    "first_target",
    "next_target",
    "undecided_max",
    "sample_min",
    "return_max",
    "in_force_from",
)


def wait_row(fact: StoredFact, stated: WaitFact) -> tuple[object, ...]:
    wait = from_message(stated.wait)
    answer = wait.ending if isinstance(wait.ending, Answered) else None
    not_owed = wait.ending if isinstance(wait.ending, NotOwed) else None
    void = wait.ending if isinstance(wait.ending, Voided) else None
    return (
        fact.position,
        fact.recorded_at,
        stated.conversation_id,
        wait.opening_sequence,
        stated.client_id,
        stated.therapist_id,
        wait.kind,
        wait.opened_at,
        answer and answer.at,
        answer and answer.sequence,
        void and void.at,
        void and void.reason,
        void and void.report_id,
        wait.exclusion and wait.exclusion.report_id,
        wait.exclusion and wait.exclusion.final,
        wait.policy_version,
        not_owed and not_owed.at,
        not_owed and not_owed.returns_until,
        [instant for span in wait.not_owed for instant in span],
    )


def policy_row(fact: StoredFact, stated: ResponsePolicySet) -> tuple[object, ...]:
    policy = from_policy_message(stated.policy)
    return (
        fact.position,
        fact.recorded_at,
        policy.version,
        policy.first_target,
        policy.next_target,
        policy.undecided_max,
        policy.sample_min,
        policy.return_max,
        policy.in_force_from,
    )


def superseding(fact: StoredFact, stated: WaitFact) -> tuple[object, ...]:
    return (fact.position, stated.conversation_id, stated.wait.opening_sequence)


OPEN_WAIT: Sequence[Write] = [Add("waits", WAIT, wait_row)]
STATE_WAIT: Sequence[Write] = [Add("waits", WAIT, wait_row), All("supersede", superseding)]

NOTE_PARTIES: Sequence[Write] = [
    Last(
        "add_conversations",
        attrgetter("conversation_id"),
        lambda _, of: (of.conversation_id, of.client_id, of.therapist_id),
    )
]

READ_MODEL = ReadModel(
    tables=[HERE / "read_model.sql", GATE_TABLES],
    indexes=HERE / "read_model_indexes.sql",
    statements={**queries(HERE / "projections.sql"), **GATE_STATEMENTS},
    writes={
        GateCopied: GATE_WRITES,
        MessageNoted: NOTE_PARTIES,
        PartiesTurned: NOTE_PARTIES,
        ResponsePolicySet: [Add("policies", POLICY, policy_row)],
        WaitOpened: OPEN_WAIT,
        WaitAnswered: STATE_WAIT,
        WaitVoided: STATE_WAIT,
        WaitExcluded: STATE_WAIT,
        WaitNotOwed: STATE_WAIT,
        WaitResumed: STATE_WAIT,
        WaitRestated: STATE_WAIT,
        WaitWithdrawn: [All("supersede", lambda fact, of: (fact.position, of.conversation_id, of.opening_sequence))],
    },
    revision=5,
    ignores=[ReplyNotOwed, ReportNoted, DecisionNoted, StandingNoted, StandingRestated, ConversationEvaluated],
)
