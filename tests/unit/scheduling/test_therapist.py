from dataclasses import replace
from datetime import timedelta

import pytest

from holdspace.scheduling.v1.events_pb2 import (
    WEEKDAY_FRIDAY,
    WEEKDAY_MONDAY,
    ContactHoursPublished,
    EnrolmentWithdrawn,
    TherapistEnrolled,
    WeeklyRange,
)
from kernel.gates import phase
from kernel.texts import Written
from services.scheduling.app import THERAPIST
from services.scheduling.domain import therapist as domain
from services.scheduling.domain.contact_hours import ContactHours, Weekly
from services.scheduling.domain.therapist import EnrolTherapist, PublishContactHours, WithdrawEnrolment
from tests.sentences import START, Sentences

ENROLLING = Sentences(THERAPIST, domain.enrol)
WITHDRAWING = Sentences(THERAPIST, domain.withdraw)
PUBLISHING = Sentences(THERAPIST, domain.publish)

ENROLLED = TherapistEnrolled(therapist_id="t", enrolment=[phase("ENROLLED")])
HOURS = ContactHours("Europe/Berlin", (Weekly(WEEKDAY_MONDAY, 540, 1020), Weekly(WEEKDAY_FRIDAY, 1320, 120)))
PUBLISHED = ContactHoursPublished(
    therapist_id="t",
    time_zone="Europe/Berlin",
    ranges=[
        WeeklyRange(weekday=WEEKDAY_MONDAY, start_minute=540, end_minute=1020),
        WeeklyRange(weekday=WEEKDAY_FRIDAY, start_minute=1320, end_minute=120),
    ],
)
ENROL = EnrolTherapist("t", START)
WITHDRAW = WithdrawEnrolment("t", Written("r1", "enrolled by mistake"), START)
WITHDRAWN = EnrolmentWithdrawn(therapist_id="t", enrolment=[phase("WITHDRAWN")], reason=WITHDRAW.reason.reference)
PUBLISH = PublishContactHours("t", HOURS, START)


@pytest.mark.rule("PL8")
def test_a_therapist_is_enrolled_once_however_often_it_is_asked() -> None:
    ENROLLING.given().when(ENROL).then(ENROLLED)
    ENROLLING.given(ENROLLED).when(ENROL).then()


@pytest.mark.rule("PL10")
def test_an_enrolment_is_withdrawn_once_with_its_reason_kept_apart() -> None:
    [attachment] = WITHDRAWING.given(ENROLLED).when(WITHDRAW).then(WITHDRAWN).attachments
    assert (attachment.id, attachment.content) == ("r1", b"enrolled by mistake")
    assert (WITHDRAWN.reason.attachment_id, WITHDRAWN.reason.size) == ("r1", 19)
    WITHDRAWING.given(ENROLLED, WITHDRAWN).when(WITHDRAW).then()
    WITHDRAWING.given().when(WITHDRAW).refused("THERAPIST_UNKNOWN", "therapist_id")
    PUBLISHING.given(ENROLLED, WITHDRAWN).when(PUBLISH).refused("THERAPIST_UNKNOWN", "therapist_id")


@pytest.mark.rule("PL10", "PL6")
def test_an_import_does_not_enrol_whose_enrolment_was_withdrawn_and_an_operator_does() -> None:
    withdrawn = ENROLLING.given(ENROLLED, WITHDRAWN)
    withdrawn.when(replace(ENROL, by_import=True)).then()
    withdrawn.when(ENROL).then(ENROLLED)
    ENROLLING.given().when(replace(ENROL, by_import=True)).then(ENROLLED)
    WITHDRAWING.given(ENROLLED, WITHDRAWN, ENROLLED).when(WITHDRAW).then(WITHDRAWN)


@pytest.mark.rule("SC1", "PL8")
def test_an_enrolled_therapist_publishes_hours_and_nobody_else_does() -> None:
    PUBLISHING.given(ENROLLED).when(PUBLISH).then(PUBLISHED)
    PUBLISHING.given().when(PUBLISH).refused("THERAPIST_UNKNOWN", "therapist_id")


def test_the_same_hours_again_are_no_news_and_others_replace_them() -> None:
    given = PUBLISHING.given(ENROLLED, PUBLISHED)
    given.when(PUBLISH).then()
    given.when(replace(PUBLISH, hours=ContactHours("Europe/Berlin"))).then(
        ContactHoursPublished(therapist_id="t", time_zone="Europe/Berlin")
    )


NO_ZONES = ["Mars/Olympus", "", "../../etc/passwd", "Europe", "europe/berlin"]
OF_A_MACHINE = ["localtime", "Factory", "posixrules", "posix/Europe/Berlin", "right/Europe/Berlin", "leapseconds"]
OLD_NAMES = ["US/Pacific", "GB", "EST5EDT", "Etc/GMT+5", "Asia/Calcutta"]


@pytest.mark.rule("SC1")
def test_a_range_may_begin_with_the_day_and_end_with_it() -> None:
    hours = ContactHours("Europe/Berlin", (Weekly(WEEKDAY_MONDAY, 0, 1440), Weekly(WEEKDAY_FRIDAY, 1439, 1)))
    [published] = PUBLISHING.given(ENROLLED).when(replace(PUBLISH, hours=hours)).decision().facts
    assert [(r.start_minute, r.end_minute) for r in published.ranges] == [(0, 1440), (1439, 1)]  # type: ignore[attr-defined]


@pytest.mark.parametrize("zone", ["Europe/Berlin", "Europe/Amsterdam", "America/Argentina/Ushuaia", "UTC", "Etc/UTC"])
def test_the_zone_of_a_place_is_taken(zone: str) -> None:
    hours = replace(HOURS, time_zone=zone)
    [published] = PUBLISHING.given(ENROLLED).when(replace(PUBLISH, hours=hours)).decision().facts
    assert published.time_zone == zone  # type: ignore[attr-defined]
    assert hours.between(START, START + timedelta(days=7))


@pytest.mark.rule("SC1")
@pytest.mark.parametrize("zone", [*NO_ZONES, *OF_A_MACHINE, *OLD_NAMES])
def test_a_name_that_is_not_the_same_zone_on_every_machine_is_refused(zone: str) -> None:
    hours = replace(HOURS, time_zone=zone)
    PUBLISHING.given(ENROLLED).when(replace(PUBLISH, hours=hours)).refused("TIME_ZONE_UNKNOWN", "time_zone")


@pytest.mark.parametrize(
    ("start", "end", "field"), [(1440, 60, "start_minute"), (0, 0, "end_minute"), (0, 1441, "end_minute")]
)
def test_minutes_that_no_clock_shows_are_refused_with_their_place(start: int, end: int, field: str) -> None:
    hours = replace(HOURS, ranges=(*HOURS.ranges, Weekly(WEEKDAY_MONDAY, start, end)))
    PUBLISHING.given(ENROLLED).when(replace(PUBLISH, hours=hours)).refused("FIELD_MALFORMED", f"ranges[2].{field}")
