"""What messaging does because of facts, other services' and its own."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial

from holdspace.kernel.v1.gate_pb2 import GateCopied
from holdspace.moderation.v1.events_pb2 import (
    BrakeLapsed,
    ClientBanned,
    ClientBraked,
    ClientReinstated,
    ClientSuspended,
    SuspensionConfirmed,
    SuspensionLapsed,
)
from holdspace.scheduling.v1.events_pb2 import EnrolmentWithdrawn, TherapistEnrolled
from kernel.consumers.records import ForeignFact
from kernel.facts import instant
from kernel.foreign import OnForeign, copied_gate
from kernel.gates import closes, opens_anew
from kernel.own_facts import OwnFact
from kernel.queries import Queries
from kernel.reactions import OnOwn
from kernel.routes import Command
from services.messaging.domain.conversation import RestoreMessages, WithholdMessages
from services.messaging.messages import Messages

LANES = "messaging.lanes"

STANDING = (
    ClientBraked,
    ClientSuspended,
    SuspensionConfirmed,
    ClientBanned,
    ClientReinstated,
    SuspensionLapsed,
    BrakeLapsed,
)


def copy_standing(fact: ForeignFact, now: datetime) -> Sequence[Command]:
    return [copied_gate("standing", fact.payload.client_id, fact.payload.standing, fact, now)]


def copy_enrolment(fact: ForeignFact, now: datetime) -> Sequence[Command]:
    return [copied_gate("enrolment", fact.payload.therapist_id, fact.payload.enrolment, fact, now)]


REACTIONS = [
    *(OnForeign(message, copy_standing, imported=True) for message in STANDING),
    *(OnForeign(message, copy_enrolment, imported=True) for message in (TherapistEnrolled, EnrolmentWithdrawn)),
]


def undoes(copied: GateCopied) -> bool:
    """A reinstatement gives back what was withheld; so does a source restored to before it closed the gate."""
    reinstated = copied.source_type == ClientReinstated.DESCRIPTOR.full_name
    return reinstated or opens_anew(copied)


def own_reactions(queries: Queries, messages: Messages) -> list[OnOwn]:
    return [OnOwn("hold-back-or-give-back", GateCopied, partial(hold_back_or_give_back, queries, messages))]


async def hold_back_or_give_back(
    queries: Queries, messages: Messages, fact: OwnFact, now: datetime
) -> Sequence[Command]:
    """A suspension withholds what slipped in between its decision and its copy here; a reinstatement restores it.

    No message can follow the copy, so the rows up to its position are all there is to find.
    """
    copied: GateCopied = fact.payload
    if copied.gate != "standing":
        return []
    if undoes(copied):
        await queries.reached(fact.position)
        return [RestoreMessages(row["conversation_id"], now) for row in await queries.rows("withheld", copied.subject)]
    if closes(copied):
        await queries.reached(fact.position)
        since = instant(copied.decided_at)
        rows = await queries.rows("of_client", copied.subject)
        late = {row[0]: await messages.sent_by_client_since(row[0], since) for row in rows}
        return [
            WithholdMessages(conversation, tuple(sequences), now)
            for conversation, sequences in late.items()
            if sequences
        ]
    return []
