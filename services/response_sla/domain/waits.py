"""The waits of a conversation: a pure function of its messages and of what moderation said about its client.

Inputs count by their own times, so the order and the number of times they arrived in make no difference. A fold that is
ahead of every input goes on from where it stands; anything earlier is folded again from the start.
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
)
from services.response_sla.domain.inputs import (
    ClientInput,
    FiledReport,
    Input,
    ReportDecision,
    SentMessage,
    StandingChange,
    order,
)
from services.response_sla.domain.policy import Policy
from services.response_sla.domain.reports import Contact, Judged, judge
from services.response_sla.domain.wait import Answered, Voided, Wait


@dataclass(frozen=True, slots=True)
class State:
    """Where a conversation stands after its inputs so far: all that the next, later one needs to know.

    `last`: the wait opened last; when it has no ending it still runs. `excluded_until`: how far the reports filed so
    far exclude.
    """

    last: Wait | None = None
    standing: StandingChange | None = None
    excluded_until: datetime | None = None


def waits(
    therapist_id: str, messages: Iterable[SentMessage], client_inputs: Iterable[ClientInput], policy: Policy
) -> tuple[Wait, ...]:
    """Returns every wait of the conversation in the order they opened, in time linear in the inputs once sorted."""
    inputs: list[Input] = sorted({*messages, *client_inputs}, key=order)
    contact = Contact()
    for item in inputs:
        if isinstance(item, SentMessage):
            contact = contact.with_message(item)
    judged = judge(therapist_id, contact, [item for item in inputs if not isinstance(item, SentMessage)], policy)
    state = State()
    found: dict[int, Wait] = {}
    for item in inputs:
        state = step(state, item, therapist_id, judged)
        if state.last is not None:
            found[state.last.opening_sequence] = state.last
    return tuple(judged.excluding(wait) for wait in found.values())


def resume(last: Wait | None, client_inputs: Iterable[ClientInput], judged: Judged) -> State:
    """Returns the state after inputs whose last wait is known, given the client's among them, in order."""
    standing = None
    for item in client_inputs:
        if isinstance(item, StandingChange):
            standing = item
    return State(last, standing, max((report.until for report in judged.straight_away.values()), default=None))


def step(state: State, item: Input, therapist_id: str, judged: Judged) -> State:
    """Takes an input later than every one before it. Only `last` can have changed, or be another wait."""
    match item:
        case SentMessage():
            return _client_wrote(state, item) if item.from_client else _therapist_wrote(state, item)
        case FiledReport():
            return _reported(state, item, judged) if item.reporter_id == therapist_id else state
        case StandingChange():
            return _standing_changed(state, item, judged)
        case ReportDecision():
            return state  # Its report was judged in its light.
        case _:
            assert_never(item)


def _client_wrote(state: State, message: SentMessage) -> State:
    if not message.expects_reply or (state.standing is not None and state.standing.locks(message.at)):
        return state
    if _is_running(state) and not _is_past_its_exclusion(state, message.at):
        return state  # Later messages do not restart a wait.
    kind = RESPONSE_KIND_FIRST if state.last is None else RESPONSE_KIND_NEXT
    return replace(state, last=Wait(message.sequence, kind, message.at))


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


def _standing_changed(state: State, change: StandingChange, judged: Judged) -> State:
    state = replace(state, standing=change)
    if not change.locks(change.at) or judged.rests_on_bad_faith(change):
        return state
    return _end(state, Voided(change.at, VOID_REASON_SUSPENSION))


def _end(state: State, ending: Answered | Voided) -> State:
    if state.last is None or state.last.ending is not None:
        return state
    return replace(state, last=replace(state.last, ending=ending))
