"""What was accepted is in the store, once, as it was answered; sequences have no gaps; topics hold what stores hold."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from tests.faults.evidence import Evidence, Published, Stored
from tests.faults.history import History
from tests.faults.violation import Violation

EFFECTS: dict[str, tuple[str, ...]] = {
    "SendMessage": ("MessageSent",),
    "HoldSlot": ("SlotHeld",),
    "ConfirmBooking": ("BookingConfirmed",),
    "CancelBooking": ("BookingCancelled",),
    "EnrolTherapist": ("TherapistEnrolled",),
    "PublishContactHours": ("ContactHoursPublished",),
    "ReportClient": ("ClientReported",),
    "DecideReport": ("ReportDecided",),
    "BrakeClient": ("ClientBraked",),
    "SuspendClient": ("ClientSuspended",),
    "ReinstateClient": ("ClientReinstated",),
    "SubmitProviderToken": ("AgeAssured", "ClientFoundUnderAge"),
    "RevokeAssurance": ("AgeAssuranceRevoked",),
}
"""By method: the fact, of which an accepted call has exactly one."""

TOLD = ("message_id", "sequence", "conversation_id", "booking_id", "report_id")
"""Fields of answers that are fields of the fact too."""


def what_was_accepted_is_stored_once(history: History, evidence: Evidence) -> Iterator[Violation]:
    caused = by_cause(evidence)
    for intention in history.accepted(*EFFECTS):
        if intention.request_id in history.lost:
            continue
        rows = caused.get((intention.service, intention.request_id), [])
        found = [row for row in rows if row.type in EFFECTS[intention.method]]
        if len(found) != 1:
            yield Violation("accepted and stored", intention.name, f"{len(found)} facts")
        elif wrong := _differences(intention.answer, found[0].payload):
            yield Violation("accepted and stored", intention.name, f"answered otherwise than stored: {wrong}")


def _differences(answer: Any, payload: Any) -> str:
    names = [name for name in TOLD if all(name in each.DESCRIPTOR.fields_by_name for each in (answer, payload))]
    return ", ".join(name for name in names if getattr(answer, name) != getattr(payload, name))


def a_request_has_one_effect(history: History, evidence: Evidence) -> Iterator[Violation]:
    """All that one request caused was recorded in one commit; a refused one caused nothing."""
    caused = by_cause(evidence)
    for intention in history:
        rows = caused.get((intention.service, intention.request_id), []) if intention.request_id else []
        commits = {(row.stream, row.recorded_at) for row in rows}
        if len(commits) > 1:
            yield Violation("one effect", intention.name, f"{len(commits)} commits")
        if rows and intention.answer is None and intention.attempts[-1].code == "FAILED_PRECONDITION":
            yield Violation(
                "one effect", intention.name, f"refused ({intention.attempts[-1].reason}), and {rows[0].type}"
            )


def by_cause(evidence: Evidence) -> dict[tuple[str, str], list[Stored]]:
    found: dict[tuple[str, str], list[Stored]] = defaultdict(list)
    for service, rows in evidence.stores.items():
        for row in rows:
            found[service, row.envelope.cause].append(row)
    return found


def sequences_have_no_gaps(_: History, evidence: Evidence) -> Iterator[Violation]:
    """Of the messages of a conversation, and of the versions of a stream."""
    for service, rows in evidence.stores.items():
        versions: dict[str, list[int]] = defaultdict(list)
        for row in rows:
            versions[row.stream].append(row.version)
        for stream, found in versions.items():
            if found != list(range(1, len(found) + 1)):
                yield Violation("sequences", f"{service} {stream}", f"versions {_first_gap(found)}")
    sequences: dict[str, list[int]] = defaultdict(list)
    for row in evidence.facts("messaging", "MessageSent"):
        sequences[row.payload.conversation_id].append(row.payload.sequence)
    for conversation, found in sequences.items():
        if found != list(range(1, len(found) + 1)):
            yield Violation("sequences", f"conversation {conversation}", f"messages {_first_gap(found)}")


def _first_gap(found: list[int]) -> str:
    place = next(place for place, number in enumerate(found, 1) if number != place)
    return f"{found[place - 1]} in place {place} of {len(found)}"


def topics_hold_what_stores_hold(_: History, evidence: Evidence) -> Iterator[Violation]:
    """Every published fact is on its topic, the same bytes, in the store's order, and nothing else is.

    Facts of an earlier epoch may be there that were lost with the store. A relay that publishes everything again begins
    with the first fact, whatever it had published on a topic made anew before it was told to.
    """
    for service, rows in evidence.stores.items():
        stored = {(row.topic, row.position): row for row in rows if row.topic}
        published: set[tuple[str, int]] = set()
        for topic, records in evidence.topics.items():
            reached: Counter[tuple[int, int]] = Counter()
            first = _first_positions(records, service)
            for record in records:
                if record.service != service:
                    continue
                place, part = (topic, record.position), (record.partition, record.epoch)
                row = stored.get(place)
                if row is not None and row.fact == record.fact:
                    if service in evidence.republished and record.position == first[part]:
                        reached[part] = 0
                    if place not in published and record.position < reached[part]:
                        yield Violation("published", f"{topic} {record.partition}/{record.offset}", "out of order")
                    reached[part] = max(reached[part], record.position)
                    published.add(place)
                elif not _was_lost(record, evidence):
                    what = "on the topic and not in the store" if row is None else "other bytes on the topic"
                    yield Violation("published", f"{topic} {service} {record.position}", what)
        for place in stored.keys() - published:
            row = stored[place]
            yield Violation("published", f"{row.topic} {service} {row.position} {row.type}", "missing on the topic")


def _first_positions(records: Sequence[Published], service: str) -> dict[tuple[int, int], int]:
    """Returns the least position of a service on a topic, by partition and epoch."""
    positions: dict[tuple[int, int], int] = {}
    for record in records:
        if record.service == service:
            part = record.partition, record.epoch
            positions[part] = min(positions.get(part, record.position), record.position)
    return positions


def _was_lost(record: Published, evidence: Evidence) -> bool:
    """Says whether a record is of what a store held before it was restored from a backup."""
    restored = evidence.restored.get(record.service)
    is_of_before = record.epoch < evidence.epochs.get(record.service, 1)
    return is_of_before and restored is not None and record.position > restored
