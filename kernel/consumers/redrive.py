"""Parked records taken again: in order, while later ones of the key go on being parked behind them."""

from collections.abc import Callable

import structlog

from kernel.consumers import parking
from kernel.consumers.fence import Held
from kernel.consumers.lanes import Done, Lanes
from kernel.consumers.limits import ConsumerLimits
from kernel.consumers.listing import Task
from kernel.consumers.records import Lane, Record

PAGE_RECORDS_MAX = 100

log = structlog.get_logger()


async def redrive_page(
    held: Held, consumer: str, lane: Lane, open_record: Callable[[Record], Task | None], limits: ConsumerLimits
) -> bool:
    """Takes the first parked records of a lane; returns whether there are more to take.

    The key is free with its last record. One that fails again keeps the key parked, for the new reason. Raises an error
    that passes, and nothing has changed then.
    """
    page = [parked.record for parked in await parking.parked_records(held.connection, consumer, lane, PAGE_RECORDS_MAX)]
    tasks = [task for task in map(open_record, page) if task is not None]
    done: Done = {}
    work = Lanes(held, done, limits)
    await work.run({lane: tasks})
    kept = {record.offset for record, _ in (*work.failed, *work.behind)}
    through = [record.offset for record in page if record.offset not in kept]
    is_free = await parking.unpark(held.connection, consumer, lane, through)
    for record, reason in work.failed:
        await parking.refuse(held.connection, consumer, record, reason)
    log.info("key redriven", consumer=consumer, topic=lane.topic, records=len(through), free=is_free)
    return not is_free and not work.failed
