from collections.abc import Sequence
from typing import Any

import pytest

from holdspace.age_verification.v1.events_pb2 import AgeAssured
from holdspace.kernel.v1.envelope_pb2 import Envelope
from holdspace.messaging.v1.events_pb2 import TherapistImported
from holdspace.moderation.v1.events_pb2 import ClientSuspended
from kernel.consumers.records import ForeignFact
from kernel.facts import timestamp
from kernel.foreign import OnForeign
from kernel.gates import gate_stream, phase
from kernel.routes import Command
from services.scheduling.app import therapist_stream
from services.scheduling.domain.therapist import EnrolTherapist
from services.scheduling.reactions import OF_IMPORTS, OF_LANES
from tests.sentences import START
from tests.unit.scheduling.practice import Practice


def told(payload: Any, reactions: Sequence[OnForeign], version: int = 3) -> Sequence[Command]:
    """Returns the commands that follow from another service's fact."""
    envelope = Envelope(type=payload.DESCRIPTOR.full_name, occurred_at=timestamp(START))
    fact = ForeignFact(envelope, payload, "", 0, 0, "moderation/main/1", 1, "client-c", version, START)
    [reaction] = [each for each in reactions if each.fact is type(payload)]
    assert reaction.imported
    return reaction.react(fact, START)


@pytest.mark.rule("PL6", "PL8")
async def test_the_therapist_of_an_imported_conversation_is_enrolled_by_its_mark_once() -> None:
    marked = TherapistImported(therapist_id="t", client_id="c", conversation_id="k", source="old")
    practice = Practice()
    for _ in range(2):
        [command] = told(marked, OF_IMPORTS)
        assert command == EnrolTherapist("t", START, by_import=True)
        await practice.run(command)
    [enrolled] = await practice.facts(therapist_stream("t"))
    assert enrolled.enrolment == [phase("ENROLLED")]  # type: ignore[attr-defined]


@pytest.mark.rule("MO5", "AV4")
@pytest.mark.parametrize(
    ("payload", "gate", "state"),
    [
        (ClientSuspended(client_id="c", standing=[phase("SUSPENDED")]), "standing", "SUSPENDED"),
        (AgeAssured(client_id="c", age=[phase("ASSURED", START), phase("EXPIRED")]), "age", "ASSURED"),
    ],
)
async def test_what_another_service_decided_is_copied_whole_and_never_goes_back(
    payload: Any, gate: str, state: str
) -> None:
    practice = Practice()
    for version in (3, 2, 3):
        [command] = told(payload, OF_LANES, version)
        await practice.run(command)
    [copied] = await practice.facts(gate_stream(gate, "c"))
    assert (copied.source_version, copied.phases[0].state) == (3, state)  # type: ignore[attr-defined]
    assert copied.source_type == payload.DESCRIPTOR.full_name  # type: ignore[attr-defined]
