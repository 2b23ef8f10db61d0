"""Keeping messages from the other side, and giving them back."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from holdspace.messaging.v1.events_pb2 import MessagesRestored, MessagesWithheld
from kernel.decision import Decision
from services.messaging.domain.conversation import Conversation, pair
from services.messaging.domain.measures import Measures, StandingDecision, message_of

SEQUENCES_MAX = 1_000  # of one fact: 10 bytes each at most, far below what a fact may have


@dataclass(frozen=True, slots=True)
class WithholdMessages:
    """`sequences`: what the person whom the measure is about sent before it arrived."""

    conversation_id: str
    sequences: tuple[int, ...]
    measure: StandingDecision
    now: datetime


@dataclass(frozen=True, slots=True)
class RestoreMessages:
    """Gives back what the measures before the lift withheld."""

    conversation_id: str
    lift: StandingDecision
    now: datetime


def withhold(command: WithholdMessages, conversation: Conversation, *, measures: Measures) -> Decision:
    """What an earlier measure withholds is withheld again by a later one: the lift of the first leaves it withheld."""
    if measures.are_lifted(command.measure):
        return Decision()
    held = conversation.withheld
    sequences = sorted(n for n in set(command.sequences) if n not in held or held[n].is_before(command.measure))
    measure = message_of(command.measure)
    return Decision(
        [MessagesWithheld(**pair(conversation), sequences=part, measure=measure) for part in parts(sequences)]
    )


def restore(command: RestoreMessages, conversation: Conversation) -> Decision:
    sequences = sorted(n for n, measure in conversation.withheld.items() if measure.is_before(command.lift))
    lift = message_of(command.lift)
    return Decision([MessagesRestored(**pair(conversation), sequences=part, lift=lift) for part in parts(sequences)])


def parts(sequences: Sequence[int]) -> Iterator[Sequence[int]]:
    for first in range(0, len(sequences), SEQUENCES_MAX):
        yield sequences[first : first + SEQUENCES_MAX]
