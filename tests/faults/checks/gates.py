"""Nothing passes a closed gate by the copies at its position, and after all every copy equals its source."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from holdspace.messaging.v1.events_pb2 import SIDE_CLIENT
from tests.faults.evidence import Evidence, Stored, is_closed, phase_at, utc
from tests.faults.history import History
from tests.faults.violation import Violation

SOURCES = {"standing": "moderation", "age": "age_verification", "enrolment": "scheduling"}
"""By gate, which is also the field of the fact: who decides it."""

COPIES = {"standing": ("messaging", "scheduling"), "age": ("scheduling",), "enrolment": ("messaging", "moderation")}


class Gates:
    """The copies of one service as they stand at a position, taken in by position."""

    def __init__(self) -> None:
        self._phases: dict[tuple[str, str], Any] = {}

    def take(self, row: Stored) -> None:
        if row.type == "GateCopied":
            self._phases[row.payload.gate, row.payload.subject] = row.payload.phases

    def is_closed(self, person: str, at: datetime) -> bool:
        return is_closed(self._phases.get(("standing", person), ()), at)

    def state(self, gate: str, subject: str, at: datetime) -> str:
        phase = phase_at(self._phases.get((gate, subject), ()), at)
        return "" if phase is None else str(phase.state)


def nothing_is_sent_past_a_suspension(_: History, evidence: Evidence) -> Iterator[Violation]:
    gates = Gates()
    for row in evidence.facts("messaging", "GateCopied", "MessageSent"):
        gates.take(row)
        if row.type == "MessageSent" and not row.payload.HasField("imported"):
            for person in (row.payload.client_id, row.payload.therapist_id):
                if gates.is_closed(person, row.at):
                    yield Violation(
                        "sent past a suspension", row.stream, f"message {row.payload.sequence}, {person} closed"
                    )


def nothing_is_booked_past_a_gate(_: History, evidence: Evidence) -> Iterator[Violation]:
    """A hold needs two standings open; a confirmation and a start need an assured age too."""
    gates = Gates()
    for row in evidence.facts("scheduling", "GateCopied", "SlotHeld", "BookingConfirmed", "SessionStarted"):
        gates.take(row)
        if row.type == "GateCopied":
            continue
        for person in (row.payload.client_id, row.payload.therapist_id):
            if gates.is_closed(person, row.at):
                yield Violation("booked past a gate", row.stream, f"{row.type}, {person} closed")
        if row.type != "SlotHeld" and (age := gates.state("age", row.payload.client_id, row.at)) != "ASSURED":
            yield Violation("booked past a gate", row.stream, f"{row.type}, age {age or 'unknown'}")


def copies_equal_their_source(_: History, evidence: Evidence) -> Iterator[Violation]:
    for gate, source in SOURCES.items():
        decided = {
            row.envelope.key: row for row in evidence.facts(source) if gate in row.payload.DESCRIPTOR.fields_by_name
        }
        for service in COPIES[gate]:
            copied = {
                row.payload.subject: row for row in evidence.facts(service, "GateCopied") if row.payload.gate == gate
            }
            for subject, row in decided.items():
                if wrong := _difference(gate, row, copied.get(subject), evidence.epochs.get(source, 1)):
                    yield Violation("copies", f"{gate} of {subject} in {service}", wrong)
            for subject in copied.keys() - decided.keys():
                if not copied[subject].payload.phases and source in evidence.restored:
                    continue  # It was decided and lost with the source's store; its copy is void.
                yield Violation("copies", f"{gate} of {subject} in {service}", "its source never decided it")


def _difference(gate: str, row: Stored, copy: Stored | None, epoch: int) -> str:
    if copy is None:
        return f"version {row.version} was not copied"
    if list(copy.payload.phases) != list(getattr(row.payload, gate)):
        return (
            f"version {row.version} says otherwise than the copy of {copy.payload.epoch}/{copy.payload.source_version}"
        )
    if (copy.payload.source_version, copy.payload.epoch) != (row.version, epoch):
        return f"{epoch}/{row.version} there, {copy.payload.epoch}/{copy.payload.source_version} here"
    return ""


def standings_reach_response_sla(_: History, evidence: Evidence) -> Iterator[Violation]:
    noted = {row.payload.source_fact_id for row in evidence.facts("response_sla", "StandingNoted")}
    for row in evidence.facts("moderation"):
        if "standing" in row.payload.DESCRIPTOR.fields_by_name and row.envelope.id not in noted:
            yield Violation(
                "copies", f"standing of {row.envelope.key} in response_sla", f"version {row.version} missing"
            )


def what_slipped_in_is_withheld(_: History, evidence: Evidence) -> Iterator[Violation]:
    """A message of a person that was sent between a suspension's decision and its copy, while the suspension holds."""
    sent: dict[str, list[Stored]] = defaultdict(list)
    slipped: dict[str, set[tuple[str, int]]] = defaultdict(set)
    held_back: set[tuple[str, int]] = set()
    gates = Gates()
    for row in evidence.facts("messaging"):
        if row.type == "MessageSent":
            sent[row.payload.client_id if row.payload.sender == SIDE_CLIENT else row.payload.therapist_id].append(row)
        elif row.type in ("MessagesWithheld", "MessagesRestored"):
            of_row = {(row.payload.conversation_id, sequence) for sequence in row.payload.sequences}
            held_back = held_back | of_row if row.type == "MessagesWithheld" else held_back - of_row
        elif row.type == "GateCopied" and row.payload.gate == "standing":
            person, decided_at = row.payload.subject, utc(row.payload.decided_at)
            was_closed = gates.is_closed(person, decided_at)
            gates.take(row)
            if not is_closed(row.payload.phases, decided_at):
                slipped[person].clear()
            elif not was_closed:
                late = [each for each in sent[person] if each.at >= decided_at]
                slipped[person] |= {(each.payload.conversation_id, each.payload.sequence) for each in late}
    for person, places in slipped.items():
        for conversation, sequence in sorted(places - held_back):
            yield Violation("withheld", f"message {sequence} of {conversation}", f"{person} is suspended")
