"""Response-SLA's facts as rows: which conversations a client has, and every wait as it was ever stated."""

from pathlib import Path

from holdspace.response_sla.v1.private_pb2 import (
    ConversationEvaluated,
    DecisionNoted,
    MessageNoted,
    ReportNoted,
    StandingNoted,
    WaitAnswered,
    WaitExcluded,
    WaitOpened,
    WaitRestated,
    WaitVoided,
    WaitWithdrawn,
)
from kernel.own_facts import OwnFact
from kernel.read_model import ReadModel, Write
from kernel.sql import queries
from services.response_sla.domain.wait import Answered, Voided, WaitFact, from_message

HERE = Path(__file__).parent


def wait_row(fact: OwnFact, stated: WaitFact) -> tuple[object, ...]:
    wait = from_message(stated.wait)
    answer = wait.ending if isinstance(wait.ending, Answered) else None
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
    )


def withdrawn_row(fact: OwnFact, withdrawn: WaitWithdrawn) -> tuple[object, ...]:
    return (fact.position, fact.recorded_at, withdrawn.conversation_id, withdrawn.opening_sequence, *[None] * 11)


STATE_WAIT = [Write("state_wait", wait_row)]

READ_MODEL = ReadModel(
    tables=HERE / "read_model.sql",
    statements=queries(HERE / "projections.sql"),
    writes={
        MessageNoted: [Write("add_conversation", lambda _, noted: (noted.conversation_id, noted.client_id))],
        WaitOpened: STATE_WAIT,
        WaitAnswered: STATE_WAIT,
        WaitVoided: STATE_WAIT,
        WaitExcluded: STATE_WAIT,
        WaitRestated: STATE_WAIT,
        WaitWithdrawn: [Write("state_wait", withdrawn_row)],
    },
    ignores=[ReportNoted, DecisionNoted, StandingNoted, ConversationEvaluated],
)
