"""The waits of a conversation: a pure function of its messages and of what moderation said about its two people.

Inputs count in the order of timeline.py, so the order and the number of times they arrived in make no difference. A
fold that is ahead of every input goes on from where it stands; anything earlier is folded again from the start.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import assert_never

from holdspace.response_sla.v1.private_pb2 import (
    RESPONSE_KIND_FIRST,
    RESPONSE_KIND_NEXT,
    VOID_REASON_REPORT,
    VOID_REASON_SUSPENSION,
    VOID_REASON_THERAPIST_SUSPENSION,
    VoidReason,
)
from services.response_sla.domain.inputs import (
    FiledReport,
    NoReplyOwed,
    PersonInput,
    ReportDecision,
    SentMessage,
    StandingChange,
)
from services.response_sla.domain.policy import Policies
from services.response_sla.domain.reports import Judged, judge
from services.response_sla.domain.timeline import Inputs, TherapistStanding, Turn, timeline, told_in_turn
from services.response_sla.domain.wait import Answered, Ending, NotOwed, Parties, Voided, Wait


@dataclass(frozen=True, slots=True)
class State:
    """Where a conversation stands after its inputs so far: all that the next, later one needs to know.

    `last`: the wait opened last; when it has no ending it still runs. `excluded_until`: how far the reports filed so
    far exclude.
    """

    policies: Policies
    last: Wait | None = None
    client: StandingChange | None = None
    therapist: StandingChange | None = None
    excluded_until: datetime | None = None

    def is_locked(self, at: datetime) -> bool:
        return any(change is not None and change.locks(at) for change in (self.client, self.therapist))


def waits(parties: Parties, inputs: Inputs, policies: Policies) -> tuple[Wait, ...]:
    """Returns every wait of the conversation in the order they opened, in time linear in the inputs once sorted."""
    turns = timeline(parties, inputs)
    judged = judge(parties.therapist_id, turns, policies)
    state = State(policies)
    found: dict[int, Wait] = {}
    for turn in turns:
        state = step(state, turn, parties.therapist_id, judged)
        if state.last is not None:
            found[state.last.opening_sequence] = state.last
    return tuple(judged.excluding(wait) for wait in found.values())


def resume(
    policies: Policies, last: Wait | None, client: Iterable[PersonInput], therapist: Iterable[PersonInput]
) -> State:
    """Returns the state after inputs whose last wait is known, none of them a report of the therapist."""
    return State(policies, last, _latest(client), _latest(therapist))


def _latest(told: Iterable[PersonInput]) -> StandingChange | None:
    changes = [item for item in told_in_turn(told) if isinstance(item, StandingChange)]
    return max(changes, key=lambda change: (change.at, change.version, change.fact_id), default=None)


def step(state: State, turn: Turn, therapist_id: str, judged: Judged) -> State:
    """Takes an input later than every one before it. Only `last` can have changed, or be another wait."""
    match turn:
        case SentMessage():
            return _client_wrote(state, turn) if turn.from_client else _therapist_wrote(state, turn)
        case FiledReport():
            return _reported(state, turn, judged) if turn.reporter_id == therapist_id else state
        case StandingChange():
            return _standing_changed(replace(state, client=turn), turn, VOID_REASON_SUSPENSION, judged)
        case TherapistStanding(_, change):
            return _standing_changed(replace(state, therapist=change), change, VOID_REASON_THERAPIST_SUSPENSION, judged)
        case NoReplyOwed():
            return _end(state, NotOwed(turn.at, turn.at + state.policies.at(turn.at).return_max))
        case ReportDecision():
            return state  # Its report was judged in its light.
        case _:
            assert_never(turn)


def _client_wrote(state: State, message: SentMessage) -> State:
    if not message.expects_reply or state.is_locked(message.at):
        return state
    if _is_running(state) and not _is_past_its_exclusion(state, message.at):
        return state  # Later messages do not restart a wait.
    if (back := _come_back(state.last, message.at)) is not None:
        return replace(state, last=back)
    policy = state.policies.at(message.at)
    kind = RESPONSE_KIND_FIRST if state.last is None else RESPONSE_KIND_NEXT
    return replace(state, last=Wait(message.sequence, kind, message.at, policy_version=policy.version))


def _come_back(last: Wait | None, at: datetime) -> Wait | None:
    """Returns the wait that was owed no reply until now, when the client asks again in time; else None."""
    if last is None or not isinstance(last.ending, NotOwed):
        return None
    until = last.ending.returns_until
    if until is None or at > until:
        return None
    return replace(last, ending=None, not_owed=(*last.not_owed, (last.ending.at, at)))


def _is_running(state: State) -> bool:
    return state.last is not None and state.last.ending is None


def _is_past_its_exclusion(state: State, at: datetime) -> bool:
    """Returns whether the last wait is excluded but what is written now no longer is: a reply is owed to it."""
    if state.last is None or state.excluded_until is None:
        return False
    return state.last.opened_at <= state.excluded_until < at


def _therapist_wrote(state: State, message: SentMessage) -> State:
    return state if message.automatic else _end(state, Answered(message.at, message.sequence))


def _reported(state: State, report: FiledReport, judged: Judged) -> State:
    if report.report_id in judged.bad_faith:
        return state
    straight_away = judged.straight_away.get(report.report_id)
    if straight_away is None:
        return _end(state, Voided(report.at, VOID_REASON_REPORT, report.report_id))
    return replace(state, excluded_until=max(straight_away.until, state.excluded_until or straight_away.until))


def _standing_changed(state: State, change: StandingChange, reason: VoidReason.ValueType, judged: Judged) -> State:
    if not change.locks(change.at) or judged.rests_on_bad_faith(change):
        return state
    return _end(state, Voided(change.at, reason))


def _end(state: State, ending: Ending) -> State:
    """Ends the wait that runs. One that was owed no reply comes back no more after what would have ended it."""
    if state.last is None:
        return state
    match state.last.ending:
        case None:
            pass
        case NotOwed(at, returns_until) if returns_until is not None and not isinstance(ending, NotOwed):
            ending = NotOwed(at)
        case _:
            return state
    return replace(state, last=replace(state.last, ending=ending))
