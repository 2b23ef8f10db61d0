"""Records that nobody can take, topics that are deleted and made again, a database restored from a backup."""

import asyncio
from datetime import UTC, datetime

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient

from holdspace.moderation.v1 import events_pb2
from holdspace.moderation.v1.events_pb2 import ClientReinstated
from infra import topics
from infra.database import SERVICES
from kernel.facts import FactTypes, Origin
from kernel.relay.headers import Headers
from tests.e2e.restoring import Backup
from tests.faults.operating import operate
from tests.faults.rig import Rig

STANDING = "holdspace.standing.v1"
PARKED_SECONDS_MAX = 30.0
LOST_SECONDS = 4.0
FAR_AHEAD = 10**9
PARKED = 'select consumer, topic, partition, "offset" as place, key from parked_records order by 1, 2, 3, 4'


async def restore_moderation(rig: Rig) -> None:
    """Moderation's database goes back 4 s: stop, restore, `relay reconcile`, start"""
    backup = Backup("moderation")
    url = rig.platform.database_url
    await backup.take(url)
    await asyncio.sleep(LOST_SECONDS)
    async with rig.down("moderation"):
        await rig.forget("moderation", await _head(backup))
        await backup.restore(url)
        await operate(rig, "relay", "reconcile", "moderation", "--yes", kafka=False)


async def _head(backup: Backup) -> int:
    return max((row["position"] for row in backup.rows["moderation", "facts"]), default=0)


async def make_watermarks_anew(rig: Rig) -> None:
    """The watermark topics of all lanes are deleted and, 2 s later, made again"""
    names = [f"{topic.name}.watermark" for topic in topics.load() if topic.lane]
    await _delete(rig, names)
    await asyncio.sleep(2)
    await _make(rig)


async def make_topic_anew(rig: Rig) -> None:
    """The lane of standings is deleted and made again; operators publish it anew and reset its consumers"""
    await _delete(rig, [STANDING])
    await _make(rig)
    async with rig.down("moderation"):
        await operate(rig, "relay", "republish", "moderation", "--yes", kafka=False)
        rig.republished.add("moderation")
    for service, consumer in await _consumers(rig, STANDING):
        await operate(rig, "consumers", "reset", service, consumer, STANDING, "--yes")


async def _consumers(rig: Rig, topic: str) -> list[tuple[str, str]]:
    found = []
    for service in SERVICES:
        sql = "select distinct consumer from consumer_checkpoints where topic = $1"
        found += [(service, row[0]) for row in await rig.platform.rows(service, sql, topic)]
    return found


async def _delete(rig: Rig, names: list[str]) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=rig.servers.kafka)
    await admin.start()
    try:
        await admin.delete_topics(names)
        while set(names) & set(await admin.list_topics()):  # noqa: ASYNC110 - told by Kafka
            await asyncio.sleep(0.05)
    finally:
        await admin.close()


async def _make(rig: Rig) -> None:
    await asyncio.to_thread(topics.apply, rig.servers.kafka, topics.load(), replication=1, partitions=4)


async def poison_a_lane(rig: Rig) -> None:
    """Two records on the lane of standings, one no fact, one far ahead; operators skip them once they are parked"""
    clients = rig.chance.sample(range(12), 2)
    cell = rig.process("moderation").cell
    told = ClientReinstated(client_id=f"{rig.prefix}-c{clients[1]}")
    fact = FactTypes(events_pb2).seal(told, f"{rig.prefix}-poison", datetime.now(UTC), Origin("moderation"))
    ahead = Headers(f"moderation/{cell}/1", FAR_AHEAD, f"client-{told.client_id}", FAR_AHEAD, datetime.now(UTC))
    nonsense = ahead._replace(position=FAR_AHEAD - 1)
    async with AIOKafkaProducer(bootstrap_servers=rig.servers.kafka) as producer:
        for key, value, headers in (
            (f"{rig.prefix}-c{clients[0]}", b"\xff no fact", nonsense),
            (told.client_id, fact, ahead),
        ):
            sent = await producer.send_and_wait(STANDING, value, key=key.encode(), headers=headers.encode())
            rig.foreign.add((STANDING, sent.partition, sent.offset))
    async with asyncio.timeout(PARKED_SECONDS_MAX):
        while await _parked(rig) < len(rig.foreign) * len(await _consumers(rig, STANDING)):  # noqa: ASYNC110 - told by services
            await asyncio.sleep(0.1)
    await _skip_all(rig)


async def _parked(rig: Rig) -> int:
    """Returns how many of the records that a fault wrote are parked, in all consumers."""
    rows = [row for service in SERVICES for row in await rig.platform.rows(service, PARKED)]
    return sum((row["topic"], row["partition"], row["place"]) in rig.foreign for row in rows)


async def _skip_all(rig: Rig) -> None:
    for service in SERVICES:
        for row in await rig.platform.rows(service, PARKED):
            if (row["topic"], row["partition"], row["place"]) in rig.foreign:
                place = (row["topic"], str(row["partition"]), str(row["place"]))
                await operate(rig, "consumers", "skip", service, row["consumer"], *place, "--yes")
    for service in SERVICES:
        for row in await rig.platform.rows(service, PARKED):
            await operate(rig, "parked", "redrive", service, row["consumer"], row["key"].decode(), kafka=False)
