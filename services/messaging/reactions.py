"""What messaging does because of facts, other services' and its own."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial

from holdspace.kernel.v1.gate_pb2 import GateCopied
from holdspace.messaging.v1.private_pb2 import GapSearched, MeasuresLifted
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
from kernel.facts import instant, open_envelope
from kernel.foreign import OnForeign, copied_gate
from kernel.gates import closes, opens_anew
from kernel.own_facts import OwnFact
from kernel.queries import Queries
from kernel.reactions import OnOwn
from kernel.routes import Command
from kernel.store.interface import EventStore
from services.messaging.domain.measures import Gap, LiftMeasures, SearchGap, StandingDecision, decision_of
from services.messaging.domain.withholding import RestoreMessages, WithholdMessages
from services.messaging.gap import Gaps, Part

LANES = "messaging.lanes"
CONVERSATIONS_MAX = 2_000  # given back at once

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


def own_reactions(store: EventStore, queries: Queries, gaps: Gaps) -> list[OnOwn]:
    """The reactions to one fact run one after the other, in this order."""
    return [
        OnOwn("hold-back-or-give-back", GateCopied, partial(hold_back_or_give_back, store)),
        OnOwn("withhold", GapSearched, partial(withhold, queries, gaps)),
        OnOwn("search-on", GapSearched, partial(search_on, queries, gaps)),
        OnOwn("restore", MeasuresLifted, partial(restore, queries)),
    ]


async def hold_back_or_give_back(store: EventStore, fact: OwnFact, now: datetime) -> Sequence[Command]:
    """A measure withholds what slipped in between its decision and its copy here; what undoes it restores that.

    No message can follow the copy, so what lies before it is all there is to find.
    """
    copied: GateCopied = fact.payload
    if copied.gate != "standing":
        return []
    decision = decision_copied(copied)
    if undoes(copied):
        return [LiftMeasures(lift=decision, now=now)]
    if not closes(copied) or await is_needless(store, fact):
        return []
    begun = Gap(down_to=fact.position, messages=0)
    return [SearchGap(measure=decision, closed_until=closed_until(copied), gap=begun, further_than=None, now=now)]


async def is_needless(store: EventStore, fact: OwnFact) -> bool:
    """Says whether the copy of a measure leaves nothing to withhold: a restored source states it anew, and the gate has
    been closed by it all along; or what undoes it is here already, so that nothing is withheld even for a moment.
    """
    copies = {
        recorded.version: GateCopied.FromString(open_envelope(recorded.fact).payload)
        for recorded in await store.read_stream(fact.stream)
    }
    before, copied = copies.get(fact.version - 1), fact.payload
    is_stated_anew = before is not None and (before.decided_at, [*before.phases]) == (
        copied.decided_at,
        [*copied.phases],
    )
    return is_stated_anew or any(undoes(copy) for version, copy in copies.items() if version > fact.version)


def decision_copied(copied: GateCopied) -> StandingDecision:
    return StandingDecision(
        copied.subject, copied.source, copied.epoch, copied.source_version, instant(copied.decided_at)
    )


def closed_until(copied: GateCopied) -> datetime | None:
    """Returns when the measure ends by itself, None when it does not."""
    opens = next((span for span in zip(copied.phases, copied.phases[1:], strict=False) if not span[1].closed), None)
    return None if opens is None else instant(opens[0].until)


async def withhold(queries: Queries, gaps: Gaps, fact: OwnFact, now: datetime) -> Sequence[Command]:
    """The next part of the gap. It is the same whenever it is asked for: nothing is added before the copy."""
    searched: GapSearched = fact.payload
    if searched.over:
        return []
    part, measure = await next_part(queries, gaps, fact), decision_of(searched.measure)
    return [WithholdMessages(conversation, sequences, measure, now) for conversation, sequences in part.late.items()]


async def search_on(queries: Queries, gaps: Gaps, fact: OwnFact, now: datetime) -> Sequence[Command]:
    """Notes that the part is withheld; what follows from that is the part after it."""
    searched: GapSearched = fact.payload
    if searched.over:
        return []
    part = await next_part(queries, gaps, fact)
    return [
        SearchGap(
            measure=decision_of(searched.measure),
            closed_until=until_of(searched),
            gap=Gap(part.down_to, searched.messages + part.messages, part.is_first),
            further_than=searched.down_to,
            now=now,
        )
    ]


async def next_part(queries: Queries, gaps: Gaps, fact: OwnFact) -> Part:
    searched: GapSearched = fact.payload
    await queries.reached(fact.position)
    since = instant(searched.measure.decided_at)
    return await gaps.part(searched.person_id, searched.down_to, since, until_of(searched))


def until_of(searched: GapSearched) -> datetime | None:
    return instant(searched.closed_until) if searched.HasField("closed_until") else None


async def restore(queries: Queries, fact: OwnFact, now: datetime) -> Sequence[Command]:
    """Whatever a measure before the lift withholds lies before this fact, so the rows up to its position are all."""
    lifted: MeasuresLifted = fact.payload
    await queries.reached(fact.position)
    after = lifted.up_to_conversation_id
    found = [row[0] for row in await queries.rows("withheld", lifted.person_id, after, CONVERSATIONS_MAX)]
    lift = decision_of(lifted.lift)
    commands: list[Command] = [RestoreMessages(conversation, lift, now) for conversation in found]
    if len(found) == CONVERSATIONS_MAX:
        commands.append(LiftMeasures(lift=lift, up_to=found[-1], now=now))
    return commands
