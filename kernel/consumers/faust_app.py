"""Faust, kept to what it does well: a group's partitions, prefetch, batches with back pressure, commits as a hint."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

import faust
from faust.types.tuples import Message

from kernel.consumers.limits import ConsumerLimits
from kernel.consumers.records import Record

# Added to every record's latency. Below this, one commit carries only a few records.
BATCH_WITHIN_SECONDS = 0.005


def build(
    name: str,
    kafka: str,
    topics: Sequence[str],
    folder: Path,
    handle: Callable[[Sequence[Record]], Awaitable[None]],
    limits: ConsumerLimits,
) -> faust.App:
    """Returns an app that hands every batch of raw records to `handle`, which must not raise.

    To be called inside the running loop. Takes an existing folder for Faust's own files.
    """
    app = _app(name, kafka, folder)
    topic = app.topic(*topics, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")

    async def take(stream: faust.Stream[bytes]) -> None:
        async for events in stream.take_events(limits.batch_records_max, within=BATCH_WITHIN_SECONDS):
            await handle([_record(event.message) for event in events])

    app.agent(topic, name="take")(take)  # type: ignore[arg-type]  # declared for a base without take_events
    app.finalize()
    return app


def _app(name: str, kafka: str, folder: Path) -> faust.App:
    return faust.App(
        name,
        broker=f"kafka://{kafka.replace(',', ';')}",
        datadir=folder,
        store="memory://",
        consumer_auto_offset_reset="earliest",
        broker_session_timeout=6,  # what group.min.session.timeout.ms allows
        broker_heartbeat_interval=1,
        broker_rebalance_timeout=8,  # a handler that is blocked stalls its group that long
        broker_request_timeout=20,
        broker_max_poll_interval=60,
        broker_commit_interval=1,
        stream_wait_empty=True,
        stream_buffer_maxsize=4096,
        stream_recovery_delay=0,
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
        worker_redirect_stdouts=False,
    )


def _record(message: Message) -> Record:
    headers = message.headers or ()
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    return Record(message.topic, message.partition, message.offset, message.key or b"", message.value, tuple(pairs))
