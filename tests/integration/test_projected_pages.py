"""Rows are the same whether facts are projected one by one, in pages, or by a rebuild."""

import random
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.protobuf.message import Message

from holdspace.age_verification.v1 import events_pb2 as age
from holdspace.age_verification.v1 import private_pb2 as private_age
from holdspace.messaging.v1.events_pb2 import (
    ConversationOpened,
    MessageSent,
    MessagesRestored,
    MessagesWithheld,
    StandingDecision,
)
from holdspace.response_sla.v1.private_pb2 import RESPONSE_KIND_FIRST, MessageNoted, WaitWithdrawn
from infra.database import prepare
from kernel.facts import Origin, timestamp
from kernel.read_model import create, digest, project
from kernel.rebuild import build, reader
from kernel.service import Definition
from kernel.store.interface import Append, Request
from kernel.store.postgres import PostgresStore
from services.age_verification.wiring import AGE_VERIFICATION
from services.messaging.wiring import MESSAGING
from services.response_sla.domain.wait import Answered, Parties, Wait, differences
from services.response_sla.wiring import RESPONSE_SLA
from tests.integration.test_own_reactions import Counted

NEVER_ANALYZED = """
select count(*) from pg_class where relnamespace = $1::regnamespace and relkind = 'r' and reltuples < 0"""
BEGAN = datetime(2026, 3, 2, 9, tzinfo=UTC)
FACTS = 400


def of_ages() -> list[Message]:
    """What becomes of a few clients' ages, in an order of chance: each fact counts by what was before it."""
    chance, found = random.Random(7), list[Message]()
    for number in range(FACTS):
        client = f"client-{chance.randrange(5)}"
        expires = timestamp(BEGAN + timedelta(days=number))
        kinds: Sequence[Message] = [
            private_age.VerificationRequested(client_id=client),
            private_age.EvidenceUnreadable(client_id=client),
            age.AgeAssured(
                client_id=client,
                method=f"method-{number}",
                assurance_level=age.ASSURANCE_LEVEL_SUBSTANTIAL,
                expires_at=expires,
            ),
            age.AgeAssuranceRevoked(client_id=client),
            age.ClientFoundUnderAge(
                client_id=client, method=f"method-{number}", assurance_level=age.ASSURANCE_LEVEL_SUBSTANTIAL
            ),
            age.UnderAgeReversed(client_id=client),
        ]
        found.append(chance.choice(kinds))
    return found


def of_waits() -> list[Message]:
    """Waits that are opened, answered, withdrawn and opened again, many times over, and a conversation's client that
    is told in two ways: whichever counts, it must be the same one however facts are paged.
    """
    chance, found = random.Random(8), list[Message]()
    known: dict[tuple[str, int], Wait] = {}
    while len(found) < FACTS:
        parties = Parties(f"c{chance.randrange(3)}", "client-1", "therapist-1")
        key = (parties.conversation_id, chance.randrange(1, 3))
        before = known.pop(key, None)
        if before is not None and chance.random() < 0.3:
            names = {"conversation_id": key[0], "client_id": "client-1", "therapist_id": "therapist-1"}
            found.append(WaitWithdrawn(**names, opening_sequence=key[1]))
            continue
        found.append(MessageNoted(conversation_id=key[0], client_id=f"client-{chance.randrange(2)}"))
        at = BEGAN + timedelta(minutes=len(found))
        ending = Answered(at, key[1] + 1) if chance.random() < 0.5 else None
        known[key] = Wait(key[1], RESPONSE_KIND_FIRST, at - timedelta(minutes=5), ending)
        found += differences(parties, before, known[key])
    return found


def of_conversations() -> list[Message]:
    """Messages of conversations that go on side by side, some of which are withheld and restored."""
    chance, found = random.Random(9), list[Message]()
    last: dict[str, int] = {}
    while len(found) < FACTS:
        name = f"c{chance.randrange(5)}"
        if name not in last:
            found.append(ConversationOpened(conversation_id=name, client_id=f"of-{name}", therapist_id="t"))
            last[name] = 0
        elif last[name] and chance.random() < 0.2:
            sequences = [chance.randint(1, last[name]) for _ in range(2)]
            of = {"conversation_id": name, "client_id": f"of-{name}", "therapist_id": "t", "sequences": sequences}
            by = StandingDecision(person_id=chance.choice(("t", f"of-{name}")))
            found.append(
                MessagesWithheld(**of, measure=by) if chance.random() < 0.5 else MessagesRestored(**of, lift=by)
            )
        else:
            last[name] += 1
            found.append(MessageSent(conversation_id=name, sequence=last[name]))
    return found


async def rows_of(database_url: str, definition: Definition, page: int | None) -> str:
    """Returns the digest of all rows, made in pages of so many facts; None: by a rebuild. Checks that the planner was
    told how many there are: not knowing, it compares all rows with each other.
    """
    service, model, types = definition.name, definition.read_model, definition.own_facts
    schema = f"{service}_read"
    rows = await reader(database_url, service, schema)
    facts = await reader(database_url, service, service)
    try:
        await rows.execute(f"drop schema if exists {schema} cascade")
        await rows.execute(f"create schema {schema}")
        await create(rows, service, model, schema, with_indexes=page is not None)
        if page is None:
            await build(rows, facts, model, types, 0, await rows.fetchval("select max(position) from facts"))
        else:
            while await project(rows, model, types, page):
                pass
        assert await rows.fetchval(NEVER_ANALYZED, schema) == 0
        return await digest(rows, schema)
    finally:
        await rows.close()
        await facts.close()


@pytest.mark.rule("PL2")
@pytest.mark.parametrize(
    ("definition", "facts"),
    [(AGE_VERIFICATION, of_ages()), (RESPONSE_SLA, of_waits()), (MESSAGING, of_conversations())],
    ids=["age_verification", "response_sla", "messaging"],
)
async def test_rows_do_not_depend_on_how_facts_are_paged(
    database_url: str, definition: Definition, facts: list[Any]
) -> None:
    await prepare(database_url)
    store = PostgresStore(database_url, definition.name, Counted())
    await store.open()
    versions = Counter[str]()
    for number, fact in enumerate(facts):
        at = BEGAN + timedelta(seconds=number)
        sealed = definition.own_facts.seal(fact, f"f{number}", at, Origin(definition.name))
        stream = f"conversation-{fact.conversation_id}" if definition is MESSAGING else "all"
        version = versions[stream]
        versions[stream] += 1
        await store.append(Append(stream, version, [sealed], Request(number.to_bytes(32), b"d" * 32)))
    await store.close()
    one_by_one = await rows_of(database_url, definition, 1)
    for page in (2, 7, 100, 1_000, None):
        assert await rows_of(database_url, definition, page) == one_by_one, page
