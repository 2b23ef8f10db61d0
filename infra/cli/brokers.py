"""What operators ask Kafka. It blocks."""

import logging
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from kafka import TopicPartition
from kafka.admin import KafkaAdminClient, OffsetSpec
from kafka.errors import KafkaError

from infra.cli.errors import CommandError, cause
from infra.topics import BOOTSTRAP_MS
from kernel.consumers.records import Partition


@contextmanager
def using_kafka(bootstrap: str) -> Iterator[None]:
    """What Kafka does not do for us, and an address it cannot have, becomes a CommandError."""
    logging.getLogger("kafka").setLevel(logging.CRITICAL)  # It tells of every attempt; we tell of the last.
    try:
        yield
    except (KafkaError, ValueError) as error:
        raise CommandError(f"Kafka at {bootstrap}: {cause(error)}") from error


def end_offsets(bootstrap: str, partitions: Collection[Partition]) -> dict[Partition, int]:
    """Returns the offset that the next record of each partition will have. Raises CommandError."""
    asked = {TopicPartition(each.topic, each.number): OffsetSpec.LATEST for each in partitions}
    if not asked:
        return {}
    with (
        using_kafka(bootstrap),
        KafkaAdminClient(bootstrap_servers=bootstrap, bootstrap_timeout_ms=BOOTSTRAP_MS) as client,
    ):
        answers = client.list_partition_offsets(asked)
    return {Partition(at.topic, at.partition): told.offset for at, told in answers.items()}
