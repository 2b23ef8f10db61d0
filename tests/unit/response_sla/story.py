"""The words of the response rules: given what happened, when this happens too, then the conversation has these waits.

Times are hours after a fixed instant. Messages are numbered in the order they are told.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from holdspace.moderation.v1.events_pb2 import FINDING_BAD_FAITH, FINDING_DISMISSED, FINDING_UPHELD, Finding
from holdspace.response_sla.v1.private_pb2 import RESPONSE_KIND_FIRST, RESPONSE_KIND_NEXT, ResponseKind
from services.response_sla.domain.inputs import (
    FiledReport,
    NoReplyOwed,
    PersonInput,
    ReportDecision,
    SentMessage,
    StandingChange,
)
from services.response_sla.domain.policy import Policies
from services.response_sla.domain.timeline import Inputs
from services.response_sla.domain.wait import Answered, NotOwed, Parties, Voided, Wait, WaitState
from services.response_sla.domain.waits import waits
from tests.gates import told_spans

POLICIES = Policies()
THERAPIST, OTHER_THERAPIST = "t1", "t2"
PARTIES = Parties("c1", "client", THERAPIST)
FIRST, NEXT = RESPONSE_KIND_FIRST, RESPONSE_KIND_NEXT
UPHELD, DISMISSED, BAD_FAITH = FINDING_UPHELD, FINDING_DISMISSED, FINDING_BAD_FAITH
ORIGIN = datetime(2026, 3, 1, tzinfo=UTC)


def hour(hours: float) -> datetime:
    return ORIGIN + timedelta(hours=hours)


def client_writes(at: float, *, expects_reply: bool = True, automatic: bool = False) -> SentMessage:
    return SentMessage(hour(at), 0, "", True, expects_reply, automatic)


def therapist_writes(at: float, *, automatic: bool = False) -> SentMessage:
    return SentMessage(hour(at), 0, "", False, False, automatic)


def reported(at: float, report_id: str = "r1", by: str = THERAPIST, knowing: int = 0) -> FiledReport:
    """`knowing`: the last message the reporter knew of, 0 when they did not say."""
    conversation = PARTIES.conversation_id if knowing else ""
    return FiledReport(hour(at), 1, f"reported-{report_id}", report_id, by, conversation, knowing)


def decided(at: float, finding: Finding.ValueType, report_id: str = "r1", by: str = THERAPIST) -> ReportDecision:
    return ReportDecision(hour(at), 2, f"decided-{report_id}-{at}", report_id, by, finding)


def no_reply_owed(at: float, knowing: int = 0) -> NoReplyOwed:
    """`knowing`: the last message the therapist knew of, 0: all sent by then."""
    return NoReplyOwed(hour(at), "", knowing)


def suspended(at: float, until: float | None = None, *report_ids: str) -> StandingChange:
    """A suspension with an end is followed by a week's brake."""
    phases = told_spans(("SUSPENDED", None))
    if until is not None:
        phases = told_spans(("SUSPENDED", hour(until)), ("BRAKED", hour(until + 168)), ("GOOD", None))
    return StandingChange(hour(at), 3, f"suspended-{at}", phases, report_ids=report_ids)


def banned(at: float, *report_ids: str) -> StandingChange:
    return StandingChange(hour(at), 3, f"banned-{at}", told_spans(("BANNED", None)), report_ids=report_ids)


def braked(at: float) -> StandingChange:
    return StandingChange(hour(at), 3, f"braked-{at}", told_spans(("BRAKED", hour(at + 168)), ("GOOD", None)))


def lifted(at: float) -> StandingChange:
    return StandingChange(hour(at), 4, f"lifted-{at}", told_spans(("GOOD", None)), lifted=True)


@dataclass(frozen=True)
class OfTherapist:
    """Said about the therapist, not about the client."""

    said: PersonInput


Told = SentMessage | PersonInput | NoReplyOwed | OfTherapist


@dataclass(frozen=True)
class Story:
    """Versions and sequences are given in the order things are told."""

    happened: tuple[Told, ...]
    policies: Policies = POLICIES

    def when(self, *more: Told) -> "Story":
        return replace(self, happened=(*self.happened, *more))

    def under(self, policies: Policies) -> "Story":
        return replace(self, policies=policies)

    @property
    def messages(self) -> list[SentMessage]:
        told = [item for item in self.happened if isinstance(item, SentMessage)]
        return [replace(message, sequence=n, fact_id=f"m{n}") for n, message in enumerate(told, 1)]

    @property
    def client_inputs(self) -> list[PersonInput]:
        said = [item for item in self.happened if not isinstance(item, SentMessage | NoReplyOwed | OfTherapist)]
        return [replace(item, version=n) for n, item in enumerate(said, 1)]

    @property
    def therapist_inputs(self) -> list[PersonInput]:
        said = [item.said for item in self.happened if isinstance(item, OfTherapist)]
        return [replace(item, version=n) for n, item in enumerate(said, 1)]

    @property
    def not_owed(self) -> list[NoReplyOwed]:
        said = [item for item in self.happened if isinstance(item, NoReplyOwed)]
        return [replace(item, fact_id=f"{n:06}") for n, item in enumerate(said, 1)]

    @property
    def inputs(self) -> Inputs:
        return Inputs(self.messages, self.client_inputs, self.therapist_inputs, self.not_owed)

    @property
    def waits(self) -> tuple[Wait, ...]:
        return waits(PARTIES, self.inputs, self.policies)

    def then(self, *expected: "Expected") -> None:
        assert tuple(told(wait) for wait in self.waits) == expected


def given(*happened: Told) -> Story:
    return Story(happened)


@dataclass(frozen=True)
class Expected:
    """A wait in a test's words. `ended_at`: hours. `report_id`: what voids or excludes it."""

    kind: ResponseKind.ValueType
    opened_at: float
    state: WaitState
    ended_at: float | None = None
    report_id: str = ""
    final: bool = False


def opened(kind: ResponseKind.ValueType, at: float) -> Expected:
    return Expected(kind, at, WaitState.OPEN)


def answered(kind: ResponseKind.ValueType, opened_at: float, at: float) -> Expected:
    return Expected(kind, opened_at, WaitState.ANSWERED, at)


def voided(kind: ResponseKind.ValueType, opened_at: float, at: float, by: str = "") -> Expected:
    """Without a report: by a suspension."""
    return Expected(kind, opened_at, WaitState.VOIDED, at, by)


def not_owed(kind: ResponseKind.ValueType, opened_at: float, at: float) -> Expected:
    return Expected(kind, opened_at, WaitState.NOT_OWED, at)


def excluded(kind: ResponseKind.ValueType, opened_at: float, *, final: bool, by: str = "r1") -> Expected:
    return Expected(kind, opened_at, WaitState.EXCLUDED, None, by, final)


def told(wait: Wait) -> Expected:
    opened_at = _hours(wait.opened_at)
    if wait.exclusion is not None:
        return Expected(wait.kind, opened_at, wait.state, None, wait.exclusion.report_id, wait.exclusion.final)
    match wait.ending:
        case Voided(at, _, report_id):
            return Expected(wait.kind, opened_at, wait.state, _hours(at), report_id)
        case Answered(at, _) | NotOwed(at, _):
            return Expected(wait.kind, opened_at, wait.state, _hours(at))
        case None:
            return Expected(wait.kind, opened_at, wait.state)


def _hours(at: datetime) -> float:
    return (at - ORIGIN) / timedelta(hours=1)
