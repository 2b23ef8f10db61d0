"""A wait, and the facts that state it."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum
from typing import assert_never

from holdspace.response_sla.v1 import private_pb2 as facts
from kernel.facts import instant, timestamp
from services.response_sla.domain.policy import DEFAULT


class WaitState(Enum):
    OPEN = "OPEN"
    ANSWERED = "ANSWERED"
    VOIDED = "VOIDED"
    NOT_OWED = "NOT_OWED"
    EXCLUDED = "EXCLUDED"


@dataclass(frozen=True, slots=True)
class Answered:
    """By the therapist's message of this sequence."""

    at: datetime
    sequence: int


@dataclass(frozen=True, slots=True)
class Voided:
    at: datetime
    reason: facts.VoidReason.ValueType
    report_id: str = ""


@dataclass(frozen=True, slots=True)
class NotOwed:
    """By the therapist's word. The wait comes back when the client asks again by `returns_until`; None: no more."""

    at: datetime
    returns_until: datetime | None = None


Ending = Answered | Voided | NotOwed


@dataclass(frozen=True, slots=True)
class Exclusion:
    """`final`: the report has been decided."""

    report_id: str
    final: bool


@dataclass(frozen=True, slots=True)
class Wait:
    """The sequence of the message that opened it names the wait within its conversation. `policy_version`: the policy
    in force when it opened. `not_owed`: from when until when no reply was owed before the client asked again.

    An excluded wait keeps its own course underneath, so that it comes back as what it is.
    """

    opening_sequence: int
    kind: facts.ResponseKind.ValueType
    opened_at: datetime
    ending: Ending | None = None
    exclusion: Exclusion | None = None
    policy_version: str = DEFAULT.version
    not_owed: tuple[tuple[datetime, datetime], ...] = ()

    @property
    def state(self) -> WaitState:
        if self.exclusion is not None:
            return WaitState.EXCLUDED
        match self.ending:
            case None:
                return WaitState.OPEN
            case Answered():
                return WaitState.ANSWERED
            case Voided():
                return WaitState.VOIDED
            case NotOwed():
                return WaitState.NOT_OWED

    @property
    def place(self) -> tuple[datetime, int]:
        """Where the wait stands among those of its conversation."""
        return (self.opened_at, self.opening_sequence)


WaitFact = (
    facts.WaitOpened
    | facts.WaitAnswered
    | facts.WaitVoided
    | facts.WaitNotOwed
    | facts.WaitResumed
    | facts.WaitExcluded
    | facts.WaitRestated
)


@dataclass(frozen=True, slots=True)
class Parties:
    """Of one conversation, as its facts name them."""

    conversation_id: str = ""
    client_id: str = ""
    therapist_id: str = ""

    def states(self, fact: type[WaitFact], wait: Wait) -> WaitFact:
        return fact(
            conversation_id=self.conversation_id,
            client_id=self.client_id,
            therapist_id=self.therapist_id,
            wait=to_message(wait),
        )


def differences(parties: Parties, before: Wait | None, after: Wait) -> list[WaitFact]:
    """Returns the fewest facts, each whole in itself, that lead from a wait as stated to the wait as it is."""
    stated: list[WaitFact] = []
    known = before
    if known is None:
        known = replace(after, ending=None, exclusion=None)
        stated.append(parties.states(facts.WaitOpened, known))
    if isinstance(known.ending, NotOwed) and len(after.not_owed) > len(known.not_owed):
        known = replace(known, ending=None, not_owed=after.not_owed)
        stated.append(parties.states(facts.WaitResumed, known))
    if known.ending is None and after.ending is not None:
        known = replace(known, ending=after.ending)
        stated.append(parties.states(_ended(after.ending), known))
    if after.exclusion is not None and known.exclusion != after.exclusion:
        known = replace(known, exclusion=after.exclusion)
        stated.append(parties.states(facts.WaitExcluded, known))
    if known != after:
        stated.append(parties.states(facts.WaitRestated, after))
    return stated


def _ended(ending: Ending) -> type[WaitFact]:
    match ending:
        case Answered():
            return facts.WaitAnswered
        case Voided():
            return facts.WaitVoided
        case NotOwed():
            return facts.WaitNotOwed
        case _:
            assert_never(ending)


def to_message(wait: Wait) -> facts.Wait:
    message = facts.Wait(
        opening_sequence=wait.opening_sequence,
        kind=wait.kind,
        opened_at=timestamp(wait.opened_at),
        policy_version=wait.policy_version,
    )
    match wait.ending:
        case Answered(at, sequence):
            message.answer.CopyFrom(facts.Answer(at=timestamp(at), sequence=sequence))
        case Voided(at, reason, report_id):
            message.void.CopyFrom(facts.Void(at=timestamp(at), reason=reason, report_id=report_id))
        case NotOwed(at, returns_until):
            message.not_owed.at.CopyFrom(timestamp(at))
            if returns_until is not None:
                message.not_owed.returns_until.CopyFrom(timestamp(returns_until))
        case None:
            pass
    for start, end in wait.not_owed:
        message.not_owed_before.add(start=timestamp(start), end=timestamp(end))
    if wait.exclusion is not None:
        message.exclusion.CopyFrom(facts.Exclusion(report_id=wait.exclusion.report_id, final=wait.exclusion.final))
    return message


def from_message(message: facts.Wait) -> Wait:
    ending: Ending | None = None
    match message.WhichOneof("ending"):
        case "answer":
            ending = Answered(instant(message.answer.at), message.answer.sequence)
        case "void":
            ending = Voided(instant(message.void.at), message.void.reason, message.void.report_id)
        case "not_owed":
            told = message.not_owed
            ending = NotOwed(instant(told.at), instant(told.returns_until) if told.HasField("returns_until") else None)
    exclusion = Exclusion(message.exclusion.report_id, message.exclusion.final)
    return Wait(
        message.opening_sequence,
        message.kind,
        instant(message.opened_at),
        ending,
        exclusion if message.HasField("exclusion") else None,
        message.policy_version,
        tuple((instant(span.start), instant(span.end)) for span in message.not_owed_before),
    )
