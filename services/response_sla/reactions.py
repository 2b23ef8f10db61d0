"""What response-SLA does because of facts, other services' and its own."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial

from holdspace.kernel.v1.gate_pb2 import GateCopied
from holdspace.messaging.v1.events_pb2 import (
    EXPECTATION_REPLY,
    SIDE_CLIENT,
    ConversationOpened,
    MessageSent,
    MessagesRestored,
    MessagesWithheld,
    RolesTurned,
    TherapistImported,
)
from holdspace.moderation.v1.events_pb2 import (
    BrakeLapsed,
    ClientBanned,
    ClientBraked,
    ClientReinstated,
    ClientReported,
    ClientSuspended,
    ClientWarned,
    ReportDecided,
    SuspensionConfirmed,
    SuspensionLapsed,
)
from holdspace.response_sla.v1.private_pb2 import DecisionNoted, ReportNoted, StandingNoted, StandingRestated
from kernel.consumers.records import ForeignFact
from kernel.facts import instant
from kernel.foreign import OnForeign, copied_gate
from kernel.gates import spans_of
from kernel.own_facts import OwnFact
from kernel.queries import Queries
from kernel.reactions import OnOwn
from kernel.routes import Command
from services.response_sla.domain.client_inputs import NoteAboutPerson, NoteRestated
from services.response_sla.domain.conversation_waits import EvaluateConversation, NoteMessages
from services.response_sla.domain.inputs import FiledReport, ReportDecision, SentMessage, Source, StandingChange
from services.response_sla.domain.turning import TurnParties
from services.response_sla.domain.wait import Parties

FACTS = "response_sla.facts"
LANES = "response_sla.lanes"
CONSUMERS = (FACTS, LANES)

STANDING = (
    ClientBraked,
    ClientSuspended,
    SuspensionConfirmed,
    ClientBanned,
    ClientReinstated,
    SuspensionLapsed,
    BrakeLapsed,
)
MEASURES = (ClientBraked, ClientSuspended, SuspensionConfirmed, ClientBanned)

ABOUT_PERSON = (ReportNoted, DecisionNoted, StandingNoted, StandingRestated)

# Withheld messages need no word here: from the suspension's own time on, messages open no wait.
IGNORED = (ConversationOpened, TherapistImported, MessagesWithheld, MessagesRestored, ClientWarned)


def source_of(fact: ForeignFact) -> Source:
    return Source(fact.origin, fact.epoch)


def note_message(fact: ForeignFact, now: datetime) -> Sequence[Command]:
    sent: MessageSent = fact.payload
    message = SentMessage(
        at=instant(fact.envelope.occurred_at),
        sequence=sent.sequence,
        fact_id=fact.envelope.id,
        from_client=sent.sender == SIDE_CLIENT,
        expects_reply=sent.expects == EXPECTATION_REPLY,
        automatic=sent.automatic,
        imported=sent.HasField("imported"),
        source=source_of(fact),
    )
    return [NoteMessages(Parties(sent.conversation_id, sent.client_id, sent.therapist_id), [message], now)]


def join_notes(commands: Sequence[NoteMessages]) -> NoteMessages:
    """Takes notes about one conversation, whose roles may have been turned between two of them."""
    parties = commands[-1].parties
    return replace(
        commands[-1],
        messages=[
            message if command.parties == parties else message.turned()
            for command in commands
            for message in command.messages
        ],
    )


def turn_parties(fact: ForeignFact, now: datetime) -> Sequence[Command]:
    turned: RolesTurned = fact.payload
    parties = Parties(turned.conversation_id, turned.client_id, turned.therapist_id)
    return [TurnParties(parties, (fact.epoch, turned.turn), now)]


def note_report(fact: ForeignFact, now: datetime) -> Sequence[Command]:
    reported: ClientReported = fact.payload
    report = FiledReport(
        at=instant(fact.envelope.occurred_at),
        version=fact.version,
        fact_id=fact.envelope.id,
        report_id=reported.report_id,
        reporter_id=reported.reporter_id,
        conversation_id=reported.conversation_id,
        last_sequence=reported.last_message_sequence,
        source=source_of(fact),
    )
    return [NoteAboutPerson(reported.client_id, report, now)]


def note_decision(fact: ForeignFact, now: datetime) -> Sequence[Command]:
    decided: ReportDecided = fact.payload
    decision = ReportDecision(
        at=instant(fact.envelope.occurred_at),
        version=fact.version,
        fact_id=fact.envelope.id,
        report_id=decided.report_id,
        reporter_id=decided.reporter_id,
        finding=decided.finding,
        source=source_of(fact),
    )
    return [NoteAboutPerson(decided.client_id, decision, now)]


def note_standing(fact: ForeignFact, now: datetime) -> Sequence[Command]:
    payload = fact.payload
    change = StandingChange(
        at=instant(fact.envelope.occurred_at),
        version=fact.version,
        fact_id=fact.envelope.id,
        phases=spans_of(payload.standing),
        lifted=isinstance(payload, ClientReinstated),
        report_ids=tuple(payload.report_ids) if isinstance(payload, MEASURES) else (),
        source=source_of(fact),
    )
    return [NoteAboutPerson(payload.client_id, change, now)]


def facts() -> list[OnForeign]:
    return [
        OnForeign(MessageSent, note_message, imported=True, join=join_notes),
        OnForeign(RolesTurned, turn_parties, imported=True),
        OnForeign(ClientReported, note_report, imported=True),
        OnForeign(ReportDecided, note_decision, imported=True),
    ]


def note_and_copy_standing(fact: ForeignFact, now: datetime) -> Sequence[Command]:
    """The copy tells, after a restore of moderation, which standings it lost; nothing is decided on it."""
    copied = copied_gate("standing", fact.payload.client_id, fact.payload.standing, fact, now)
    return [*note_standing(fact, now), copied]


def standings() -> list[OnForeign]:
    """What is noted of them alone, without the copy."""
    return [OnForeign(message, note_standing, imported=True) for message in STANDING]


def lanes() -> list[OnForeign]:
    return [OnForeign(message, note_and_copy_standing, imported=True) for message in STANDING]


def own_reactions(queries: Queries) -> list[OnOwn]:
    evaluate = partial(evaluate_conversations, queries)
    return [
        *(OnOwn("evaluate", message, evaluate, imported=True) for message in ABOUT_PERSON),
        OnOwn("note-restated", GateCopied, note_restated, imported=True),
    ]


async def note_restated(fact: OwnFact, now: datetime) -> Sequence[NoteRestated]:
    copied: GateCopied = fact.payload
    if copied.epoch == 1:
        return []
    source = Source(copied.source, copied.epoch)
    return [NoteRestated(copied.subject, source, copied.source_version, now)]


async def evaluate_conversations(queries: Queries, fact: OwnFact, now: datetime) -> Sequence[EvaluateConversation]:
    """Takes a fact of a person's stream: all conversations they are a side of are looked at again.

    A conversation that is not in the read model at the fact's position begins after it, and was decided in its light.
    """
    person_id: str = fact.payload.person_id
    await queries.reached(fact.position)
    rows = await queries.rows("conversations_of_person", person_id)
    return [EvaluateConversation(Parties(*row), now) for row in rows]
