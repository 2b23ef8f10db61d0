"""Reads the evidence: every store by SQL, every topic from its first record, response-SLA by its API."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import asyncpg
from aiokafka import AIOKafkaConsumer

from holdspace.response_sla.v1.service_pb2 import ListWaitsRequest
from infra import topics
from infra.callers import Callers
from infra.database import SERVICES
from tests.faults.evidence import Evidence, Published, Stored, envelope_of
from tests.faults.rig import Rig

FACTS = "select position, stream, version, recorded_at, fact from facts order by position"
EPOCH = "select epoch from store_identity"
PAGE = 500


async def gather(rig: Rig, callers: Callers, therapists: Sequence[str]) -> Evidence:
    """Takes what is about the people of this round, and records of this platform's relays."""
    at = datetime.now(UTC)
    stores, epochs = {}, {}
    for service in SERVICES:
        stores[service], epochs[service] = await _store(rig.platform.database_url, service, rig.prefix)
    return Evidence(
        stores, await _topics(rig), await _waits(callers, therapists), epochs, rig.restored, rig.republished, at
    )


async def _store(database_url: str, service: str, prefix: str) -> tuple[list[Stored], int]:
    settings = {"role": f"{service}_api", "search_path": service}
    connection = await asyncpg.connect(database_url, server_settings=settings)
    try:
        epoch = int(await connection.fetchval(EPOCH))
        rows = [Stored(*row) for row in await connection.fetch(FACTS)]
    finally:
        await connection.close()
    return [row for row in rows if _is_about(row.fact, prefix)], epoch


async def _topics(rig: Rig) -> Mapping[str, Sequence[Published]]:
    names = [topic.name for topic in topics.load()]
    consumer = AIOKafkaConsumer(
        *names, bootstrap_servers=rig.servers.kafka, enable_auto_commit=False, auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        partitions = consumer.assignment()
        ends = await consumer.end_offsets(partitions)
        found: dict[str, list[Published]] = {name: [] for name in names}
        while any([await consumer.position(each) < ends[each] for each in partitions]):
            for each, records in (await consumer.getmany(timeout_ms=200)).items():
                ours = [record for record in records if (each.topic, each.partition, record.offset) not in rig.foreign]
                told = [_published(record, rig.process("messaging").cell, rig.prefix) for record in ours]
                found[each.topic] += [record for record in told if record is not None]
        return found
    finally:
        await consumer.stop()


def _published(record: Any, cell: str, prefix: str) -> Published | None:
    """Returns None for what another cell, or nobody's relay, wrote."""
    headers = dict(record.headers)
    source = headers.get("source", b"").decode(errors="replace")
    if source.split("/")[1:2] != [cell] or not _is_about(record.value, prefix):
        return None
    return Published(record.topic, record.partition, record.offset, source, int(headers["position"]), record.value)


def _is_about(fact: bytes, prefix: str) -> bool:
    return any(subject.startswith(f"{prefix}-") for subject in envelope_of(fact).subjects)


async def _waits(callers: Callers, therapists: Sequence[str]) -> dict[str, list[Any]]:
    listed = await asyncio.gather(*(_waits_of(callers, therapist) for therapist in therapists))
    return dict(zip(therapists, listed, strict=True))


async def _waits_of(callers: Callers, therapist: str) -> list[Any]:
    found: list[Any] = []
    token = ""
    while True:
        asked = ListWaitsRequest(therapist_id=therapist, page_size=PAGE, page_token=token)
        told = await callers.response_sla.ListWaits(asked)
        found += told.waits
        token = told.next_page_token
        if not token:
            return found
