"""What moderation does because of facts, other services' and its own, and when a timer is due."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial

from holdspace.messaging.v1.events_pb2 import (
    ConversationOpened,
    MessageSent,
    MessagesRestored,
    MessagesWithheld,
    RolesTurned,
    TherapistImported,
)
from holdspace.moderation.v1.events_pb2 import ReportDecided
from holdspace.moderation.v1.private_pb2 import SuspensionDue
from holdspace.scheduling.v1.events_pb2 import (
    BookingCancelled,
    BookingConfirmed,
    BookingLapsed,
    BookingNotRestored,
    BookingRestored,
    ContactHoursPublished,
    EnrolmentWithdrawn,
    SessionEnded,
    SessionStarted,
    TherapistEnrolled,
)
from kernel.commands import CommandPath
from kernel.consumers.records import ForeignFact
from kernel.foreign import OnForeign, copied_gate
from kernel.own_facts import OwnFact
from kernel.reactions import OnOwn
from kernel.routes import Command
from kernel.store.interface import TimerDue
from services.moderation.allowances import with_answers
from services.moderation.app import CLIENT_STANDING, client_of, client_stream
from services.moderation.domain.policy import Policy
from services.moderation.domain.reporter import NoteFinding
from services.moderation.domain.reporting import NoteContact, TakeStock
from services.moderation.domain.restoration import NoteBookingLost
from services.moderation.domain.timers import MEASURE_ENDS, REPORTS_SCORE, RecordEnds

LANES = "moderation.lanes"
CONTACTS = "moderation.contacts"
BOOKINGS = "moderation.bookings"


def copy_enrolment(fact: ForeignFact, now: datetime) -> Sequence[Command]:
    return [copied_gate("enrolment", fact.payload.therapist_id, fact.payload.enrolment, fact, now)]


def note_contact(fact: ForeignFact, now: datetime) -> Sequence[Command]:
    return [NoteContact(fact.payload.client_id, fact.payload.therapist_id, now)]


def note_turned_contact(fact: ForeignFact, now: datetime) -> Sequence[Command]:
    return note_contact(fact, now) if fact.payload.client_wrote else []


def note_booking_lost(fact: ForeignFact, now: datetime) -> Sequence[Command]:
    lost: BookingNotRestored = fact.payload
    return [NoteBookingLost(lost.person_id, lost.booking_id, lost.lift_version, now)]


ENROLMENTS = [OnForeign(message, copy_enrolment, imported=True) for message in (TherapistEnrolled, EnrolmentWithdrawn)]
FIRST_CONTACTS = [
    OnForeign(ConversationOpened, note_contact, imported=True),
    OnForeign(RolesTurned, note_turned_contact, imported=True),
]
LOSSES = [OnForeign(BookingNotRestored, note_booking_lost)]
NO_LOSSES = [
    ContactHoursPublished,
    BookingConfirmed,
    BookingCancelled,
    BookingRestored,
    SessionStarted,
    SessionEnded,
    BookingLapsed,
]
NO_CONTACTS = [TherapistImported, MessageSent, MessagesWithheld, MessagesRestored]


async def note_finding(fact: OwnFact, now: datetime) -> Sequence[Command]:
    decided: ReportDecided = fact.payload
    return [NoteFinding(decided.reporter_id, decided.report_id, decided.finding, now)]


async def ask_reporters(path: CommandPath, policy: Policy, fact: OwnFact, now: datetime) -> Sequence[Command]:
    """Takes a suspension that is due. It is taken, or a person is asked first, once its reporters are asked for."""
    due: SuspensionDue = fact.payload
    standing = await path.state(client_stream(due.client_id), CLIENT_STANDING)
    reporter_ids = {standing.reports[report_id].reporter_id for report_id in due.report_ids}
    take_stock = TakeStock(due.client_id, policy, now)
    return [await with_answers(path, take_stock, sorted(reporter_ids), f"position {fact.position}")]


def own_reactions(path: CommandPath, policy: Policy) -> list[OnOwn]:
    return [
        OnOwn("note-finding", ReportDecided, note_finding),
        OnOwn("ask-reporters", SuspensionDue, partial(ask_reporters, path, policy)),
    ]


def timers(policy: Policy) -> Mapping[str, Callable[[TimerDue, datetime], Command]]:
    return {
        MEASURE_ENDS: lambda timer, now: RecordEnds(client_of(timer.stream), max(now, timer.due_at)),
        REPORTS_SCORE: lambda timer, now: TakeStock(client_of(timer.stream), policy, now),
    }
