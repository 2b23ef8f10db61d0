"""The two people of a conversation turn out to have the other roles."""

from dataclasses import dataclass
from datetime import datetime

from holdspace.response_sla.v1.private_pb2 import PartiesTurned, WaitWithdrawn
from kernel.decision import Decision
from services.response_sla.domain import conversation_waits
from services.response_sla.domain.client_inputs import Person
from services.response_sla.domain.conversation import Conversation, evolve
from services.response_sla.domain.conversation_waits import EvaluateConversation
from services.response_sla.domain.policy import Policies
from services.response_sla.domain.wait import Parties


@dataclass(frozen=True, slots=True)
class TurnParties:
    """`parties`: as they are from this turn on, of what was noted before too. `turn`: epoch of its source, number."""

    parties: Parties
    turn: tuple[int, int]
    now: datetime


def turn(
    command: TurnParties, conversation: Conversation, *, client: Person, therapist: Person, policies: Policies
) -> Decision:
    """No wait of one side is one of the other: those stated are withdrawn, and those that the other owed are stated."""
    if command.turn <= conversation.turn:
        return Decision()
    parties = command.parties
    is_turned = conversation.is_turned(parties)
    withdrawn = [
        WaitWithdrawn(
            conversation_id=parties.conversation_id,
            client_id=conversation.parties.client_id,
            therapist_id=conversation.parties.therapist_id,
            opening_sequence=wait.opening_sequence,
        )
        for wait in conversation.waits
        if is_turned
    ]
    epoch, number = command.turn
    turned = PartiesTurned(
        conversation_id=parties.conversation_id,
        client_id=parties.client_id,
        therapist_id=parties.therapist_id,
        turn=number,
        source_epoch=epoch,
    )
    after = conversation
    for fact in withdrawn:
        after = evolve(after, fact, command.now)
    after = evolve(after, turned, command.now)
    again = EvaluateConversation(parties, command.now)
    stated = conversation_waits.decide(again, after, client=client, therapist=therapist, policies=policies)
    return Decision([*withdrawn, turned, *stated.facts])
