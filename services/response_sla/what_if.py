"""The waits of a therapist under another policy: the same engine on the same inputs. Nothing is written."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, cast

from holdspace.kernel.v1 import gate_pb2
from holdspace.response_sla.v1 import private_pb2
from kernel.facts import FactTypes, instant
from kernel.folded import Fold
from kernel.queries import Queries
from services.response_sla.app import CONVERSATION, PERSON
from services.response_sla.domain.client_inputs import Person, person_stream
from services.response_sla.domain.conversation import Conversation, conversation_stream
from services.response_sla.domain.policy import Policies
from services.response_sla.domain.wait import Wait
from services.response_sla.domain.waits import waits

CONVERSATIONS_AT_ONCE = 50
SIDES = ("client_id", "therapist_id")

TYPES = FactTypes(gate_pb2, private_pb2)


async def waits_under(queries: Queries, therapist_id: str, position: int, policies: Policies) -> list[Wait]:
    """Returns every wait of the therapist, of what this store had up to a position.

    Takes time linear in the facts of the therapist's conversations; other calls go between.
    """
    found: list[Wait] = []
    after = ""
    while rows := await queries.rows("conversations_of_therapist", therapist_id, after, CONVERSATIONS_AT_ONCE):
        people = await _people(queries, sorted({row[side] for row in rows for side in SIDES}), position)
        streams = [conversation_stream(row["conversation_id"]) for row in rows]
        folded = await _folded(queries, streams, CONVERSATION, position)
        for conversation in cast("Mapping[str, Conversation]", folded).values():
            parties = conversation.parties
            if parties.therapist_id == therapist_id:  # It may have been turned since.
                inputs = conversation.inputs(people[parties.client_id], people[parties.therapist_id])
                found += waits(parties, inputs, policies)
            await asyncio.sleep(0)
        after = rows[-1]["conversation_id"]
    return found


async def _people(queries: Queries, people: Sequence[str], position: int) -> dict[str, Person]:
    folded = await _folded(queries, [person_stream(person) for person in people], PERSON, position)
    return {person: cast("Person", folded.get(person_stream(person), PERSON.initial)) for person in people}


async def _folded(queries: Queries, streams: Sequence[str], fold: Fold[Any], position: int) -> dict[str, Any]:
    """Returns the state of each stream that had a fact by then."""
    states: dict[str, Any] = {}
    rows = await queries.rows("facts_of_streams", streams, position)
    opened = TYPES.open_all(row["fact"] for row in rows)
    for row, (envelope, payload) in zip(rows, opened, strict=True):
        known = states.get(row["stream"], fold.initial)
        states[row["stream"]] = fold.evolve(known, payload, instant(envelope.occurred_at))
    return states
