"""The suspension policies: numbers, not code. A measure names the version it was decided under."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from holdspace.moderation.v1.events_pb2 import SEVERITY_DANGER, SEVERITY_HARASSMENT, SEVERITY_SPAM, Severity


@dataclass(frozen=True, slots=True)
class Threshold:
    """Reached by a score at or above it from at least as many reporters."""

    score: int  # thousandths
    reporters: int


@dataclass(frozen=True, slots=True)
class Policy:
    version: str
    weights: Mapping[Severity.ValueType, int]  # what a report of a fully reliable reporter counts
    brake: Threshold
    suspension: Threshold
    suspends_at_once: Severity.ValueType  # one report of this severity, by a reporter in good standing
    review: timedelta  # how long a provisional suspension waits for a person
    brake_term: timedelta  # of a brake, after a suspension too
    reliability: int  # thousandths, of a reporter who never reported in bad faith
    reliability_lost: int  # thousandths, by each report in bad faith
    open_reports_max: int  # undecided ones of one reporter about one client, as grave as the next or graver
    upheld_weighs: timedelta  # how long a report that was upheld keeps its weight
    people_suspended_max: int  # by the reports of one reporter, without a person, within that time
    people_suspended_within: timedelta
    term_max: timedelta  # of a moderator's measure that has an end


DEFAULT = Policy(
    version="default-1",
    weights={SEVERITY_SPAM: 1, SEVERITY_HARASSMENT: 2, SEVERITY_DANGER: 4},
    brake=Threshold(2_000, reporters=2),
    suspension=Threshold(4_000, reporters=3),
    suspends_at_once=SEVERITY_DANGER,
    review=timedelta(hours=24),
    brake_term=timedelta(days=7),
    reliability=1_000,
    reliability_lost=500,
    open_reports_max=20,
    upheld_weighs=timedelta(days=180),
    people_suspended_max=5,
    people_suspended_within=timedelta(hours=24),
    term_max=timedelta(days=3_650),
)

POLICIES: Mapping[str, Policy] = {policy.version: policy for policy in (DEFAULT,)}
"""Every policy that decisions may be taken under."""
