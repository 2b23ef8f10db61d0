"""A therapist: enrolled by an operator, with contact hours of their own."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import assert_never

from holdspace.scheduling.v1.events_pb2 import ContactHoursPublished, EnrolmentWithdrawn, TherapistEnrolled, WeeklyRange
from kernel.decision import Decision
from kernel.errors import Rejected
from kernel.gates import phase
from kernel.texts import Written
from services.scheduling.domain.contact_hours import DAY_MINUTES, ContactHours, Weekly, time_zones

NO_HOURS = ContactHours()

Fact = TherapistEnrolled | EnrolmentWithdrawn | ContactHoursPublished


@dataclass(frozen=True, slots=True)
class EnrolTherapist:
    """`by_import`: not asked for by an operator, but by the mark of an imported conversation."""

    therapist_id: str
    now: datetime
    by_import: bool = False


@dataclass(frozen=True, slots=True)
class WithdrawEnrolment:
    therapist_id: str
    reason: Written
    now: datetime


@dataclass(frozen=True, slots=True)
class PublishContactHours:
    therapist_id: str
    hours: ContactHours
    now: datetime


@dataclass(frozen=True, slots=True)
class Therapist:
    is_enrolled: bool = False
    hours: ContactHours = NO_HOURS
    was_withdrawn: bool = False


def enrol(command: EnrolTherapist, therapist: Therapist) -> Decision:
    if therapist.is_enrolled or (command.by_import and therapist.was_withdrawn):
        return Decision()
    return Decision([TherapistEnrolled(therapist_id=command.therapist_id, enrolment=[phase("ENROLLED")])])


def withdraw(command: WithdrawEnrolment, therapist: Therapist) -> Decision:
    if not (therapist.is_enrolled or therapist.was_withdrawn):
        raise Rejected("THERAPIST_UNKNOWN", "therapist_id")
    if not therapist.is_enrolled:
        return Decision()
    withdrawn = EnrolmentWithdrawn(
        therapist_id=command.therapist_id, enrolment=[phase("WITHDRAWN")], reason=command.reason.reference
    )
    return Decision([withdrawn], attachments=[command.reason.attachment])


def publish(command: PublishContactHours, therapist: Therapist) -> Decision:
    if not therapist.is_enrolled:
        raise Rejected("THERAPIST_UNKNOWN", "therapist_id")
    if command.hours.time_zone not in time_zones():
        raise Rejected("TIME_ZONE_UNKNOWN", "time_zone")
    for place, weekly in enumerate(command.hours.ranges):
        if not 0 <= weekly.start_minute < DAY_MINUTES:
            raise Rejected("FIELD_MALFORMED", f"ranges[{place}].start_minute")
        if not 0 < weekly.end_minute <= DAY_MINUTES:
            raise Rejected("FIELD_MALFORMED", f"ranges[{place}].end_minute")
    if command.hours == therapist.hours:
        return Decision()
    return Decision(
        [
            ContactHoursPublished(
                therapist_id=command.therapist_id,
                time_zone=command.hours.time_zone,
                ranges=[WeeklyRange(**weekly._asdict()) for weekly in command.hours.ranges],
            )
        ]
    )


def weekly_of(message: WeeklyRange) -> Weekly:
    return Weekly(message.weekday, message.start_minute, message.end_minute)


def evolve(therapist: Therapist, fact: Fact, at: datetime) -> Therapist:
    match fact:
        case TherapistEnrolled():
            return replace(therapist, is_enrolled=True)
        case EnrolmentWithdrawn():
            return replace(therapist, is_enrolled=False, was_withdrawn=True)
        case ContactHoursPublished():
            ranges = tuple(weekly_of(weekly) for weekly in fact.ranges)
            return replace(therapist, hours=ContactHours(fact.time_zone, ranges))
        case _:
            assert_never(fact)
