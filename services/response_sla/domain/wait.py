"""A wait, and the facts that state it."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum

from holdspace.response_sla.v1 import private_pb2 as facts
from kernel.facts import instant, timestamp


class WaitState(Enum):
    OPEN = "OPEN"
    ANSWERED = "ANSWERED"
    VOIDED = "VOIDED"
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
class Exclusion:
    """`final`: the report has been decided."""

    report_id: str
    final: bool


@dataclass(frozen=True, slots=True)
class Wait:
    """The sequence of the message that opened it names the wait within its conversation.

    An excluded wait keeps its own course underneath, so that it comes back as what it is.
    """

    opening_sequence: int
    kind: facts.ResponseKind.ValueType
    opened_at: datetime
    ending: Answered | Voided | None = None
    exclusion: Exclusion | None = None

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

    @property
    def place(self) -> tuple[datetime, int]:
        """Where the wait stands among those of its conversation."""
        return (self.opened_at, self.opening_sequence)


WaitFact = facts.WaitOpened | facts.WaitAnswered | facts.WaitVoided | facts.WaitExcluded | facts.WaitRestated


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
    if known.ending is None and after.ending is not None:
        known = replace(known, ending=after.ending)
        ended = facts.WaitAnswered if isinstance(after.ending, Answered) else facts.WaitVoided
        stated.append(parties.states(ended, known))
    if after.exclusion is not None and known.exclusion != after.exclusion:
        known = replace(known, exclusion=after.exclusion)
        stated.append(parties.states(facts.WaitExcluded, known))
    if known != after:
        stated.append(parties.states(facts.WaitRestated, after))
    return stated


def to_message(wait: Wait) -> facts.Wait:
    message = facts.Wait(opening_sequence=wait.opening_sequence, kind=wait.kind, opened_at=timestamp(wait.opened_at))
    match wait.ending:
        case Answered(at, sequence):
            message.answer.CopyFrom(facts.Answer(at=timestamp(at), sequence=sequence))
        case Voided(at, reason, report_id):
            message.void.CopyFrom(facts.Void(at=timestamp(at), reason=reason, report_id=report_id))
        case None:
            pass
    if wait.exclusion is not None:
        message.exclusion.CopyFrom(facts.Exclusion(report_id=wait.exclusion.report_id, final=wait.exclusion.final))
    return message


def from_message(message: facts.Wait) -> Wait:
    ending: Answered | Voided | None = None
    match message.WhichOneof("ending"):
        case "answer":
            ending = Answered(instant(message.answer.at), message.answer.sequence)
        case "void":
            ending = Voided(instant(message.void.at), message.void.reason, message.void.report_id)
    exclusion = Exclusion(message.exclusion.report_id, message.exclusion.final)
    return Wait(
        message.opening_sequence,
        message.kind,
        instant(message.opened_at),
        ending,
        exclusion if message.HasField("exclusion") else None,
    )
