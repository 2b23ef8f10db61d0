"""What scheduling does because of facts, other services' and its own, and when a timer is due."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial

from holdspace.age_verification.v1.events_pb2 import (
    AgeAssuranceRevoked,
    AgeAssured,
    ClientFoundUnderAge,
    UnderAgeReversed,
)
from holdspace.kernel.v1.gate_pb2 import GateCopied
from holdspace.messaging.v1.events_pb2 import (
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
    ClientSuspended,
    SuspensionConfirmed,
    SuspensionLapsed,
)
from holdspace.scheduling.v1.events_pb2 import EnrolmentWithdrawn
from holdspace.scheduling.v1.private_pb2 import BookingsSetAside, BookingsTakenUp, RestorationPostponed, SlotHeld
from kernel.consumers.records import ForeignFact
from kernel.facts import instant, open_envelope
from kernel.foreign import OnForeign, copied_gate
from kernel.gates import closes, opens_anew
from kernel.own_facts import OwnFact
from kernel.reactions import OnOwn
from kernel.routes import Command
from kernel.store.interface import EventStore, TimerDue
from services.scheduling.app import booking_of, booking_stream
from services.scheduling.domain.booking import HOLD_EXPIRES, SLOT_ENDS, ExpireHold, person_resource
from services.scheduling.domain.session import EndSlot
from services.scheduling.domain.suspension import (
    CancelForSuspension,
    GiveUpRestoring,
    KeepAside,
    RestoreBooking,
    SetBookingsAside,
    TakeBookingsUp,
)
from services.scheduling.domain.therapist import EnrolTherapist
from services.scheduling.domain.withdrawal import CancelForWithdrawal

LANES = "scheduling.lanes"
IMPORTS = "scheduling.imports"

STANDING = (
    ClientBraked,
    ClientSuspended,
    SuspensionConfirmed,
    ClientBanned,
    ClientReinstated,
    SuspensionLapsed,
    BrakeLapsed,
)
AGE = (AgeAssured, ClientFoundUnderAge, AgeAssuranceRevoked, UnderAgeReversed)


def copy_standing(fact: ForeignFact, now: datetime) -> Sequence[Command]:
    return [copied_gate("standing", fact.payload.client_id, fact.payload.standing, fact, now)]


def copy_age(fact: ForeignFact, now: datetime) -> Sequence[Command]:
    return [copied_gate("age", fact.payload.client_id, fact.payload.age, fact, now)]


def enrol(fact: ForeignFact, now: datetime) -> Sequence[Command]:
    return [EnrolTherapist(fact.payload.therapist_id, now, by_import=True)]


OF_LANES = [
    *(OnForeign(message, copy_standing, imported=True) for message in STANDING),
    *(OnForeign(message, copy_age, imported=True) for message in AGE),
]
OF_IMPORTS = [OnForeign(TherapistImported, enrol, imported=True)]
NO_IMPORTS = (ConversationOpened, MessageSent, MessagesWithheld, MessagesRestored, RolesTurned)

TIMERS: Mapping[str, Callable[[TimerDue, datetime], Command]] = {
    HOLD_EXPIRES: lambda timer, now: ExpireHold(booking_of(timer.stream), now),
    SLOT_ENDS: lambda timer, now: EndSlot(booking_of(timer.stream), now),
}


def own_reactions(store: EventStore) -> list[OnOwn]:
    """The reactions to one fact run one after the other, in this order."""
    return [
        OnOwn("set-aside-or-take-up", GateCopied, partial(set_aside_or_take_up, store)),
        OnOwn("cancel", BookingsSetAside, cancel),
        OnOwn("cancel-for-withdrawal", EnrolmentWithdrawn, partial(cancel_for_withdrawal, store)),
        OnOwn("restore", BookingsTakenUp, partial(restore, store)),
        OnOwn("give-up-restoring", BookingsTakenUp, give_up_restoring),
        OnOwn("keep-aside", RestorationPostponed, keep_aside),
    ]


async def set_aside_or_take_up(store: EventStore, fact: OwnFact, now: datetime) -> Sequence[Command]:
    """No hold or booking can follow the copy of a suspension, so what the store holds now is all there is to find."""
    copied: GateCopied = fact.payload
    if copied.gate != "standing":
        return []
    if undoes(copied):
        return [TakeBookingsUp(copied.subject, copied.source_version, now)]
    if closes(copied):
        streams = await store.holders(person_resource(copied.subject), instant(copied.decided_at))
        return [SetBookingsAside(copied.subject, tuple(map(booking_of, streams)), now)]
    return []


def undoes(copied: GateCopied) -> bool:
    """A reinstatement gives back what was set aside; so does a source restored to before it closed the gate."""
    reinstated = copied.source_type == ClientReinstated.DESCRIPTOR.full_name
    return reinstated or opens_anew(copied)


async def cancel(fact: OwnFact, now: datetime) -> Sequence[Command]:
    aside: BookingsSetAside = fact.payload
    return [CancelForSuspension(booking_id, aside.person_id, now) for booking_id in aside.booking_ids]


async def cancel_for_withdrawal(store: EventStore, fact: OwnFact, now: datetime) -> Sequence[Command]:
    """No hold can follow a withdrawal: it is decided on the therapist's stream."""
    therapist_id: str = fact.payload.therapist_id
    streams = await store.holders(person_resource(therapist_id), instant(fact.envelope.occurred_at))
    return [CancelForWithdrawal(booking_of(stream), therapist_id, now) for stream in streams]


async def restore(store: EventStore, fact: OwnFact, now: datetime) -> Sequence[Command]:
    taken_up: BookingsTakenUp = fact.payload
    person, attempt = taken_up.person_id, fact.envelope.id
    slots = [await slot_of(store, booking_id) for booking_id in taken_up.booking_ids]
    return [RestoreBooking(slot.booking_id, person, slot.client_id, slot.therapist_id, attempt, now) for slot in slots]


async def slot_of(store: EventStore, booking_id: str) -> SlotHeld:
    """Returns what a booking began with, which says whose it is."""
    [first] = await store.read_stream(booking_stream(booking_id), 0, 1)
    return SlotHeld.FromString(open_envelope(first.fact).payload)


async def give_up_restoring(fact: OwnFact, now: datetime) -> Sequence[Command]:
    """Goes by what `restore` left undone: its rejections have no fact of their own."""
    taken_up: BookingsTakenUp = fact.payload
    person, lift, attempt = taken_up.person_id, taken_up.lift_version, fact.envelope.id
    return [GiveUpRestoring(booking_id, person, lift, attempt, now) for booking_id in taken_up.booking_ids]


async def keep_aside(fact: OwnFact, now: datetime) -> Sequence[Command]:
    """The lift that it waits for comes after this fact, which rests on the copy of the suspension."""
    postponed: RestorationPostponed = fact.payload
    return [KeepAside(person, postponed.booking_id, now) for person in postponed.waits_for_ids]
