"""The topics of `topics.yaml`, and bringing a Kafka cluster in line with them: plan, apply, drift.

Nothing here deletes a topic or changes its partition count. Every function that takes a bootstrap address blocks on
the network and raises `kafka.errors.KafkaError` when no broker answers.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import yaml
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient
from kafka.errors import TopicAlreadyExistsError

DECLARATION = Path(__file__).with_name("topics.yaml")
PREFIX = "holdspace."
WATERMARK_SUFFIX = ".watermark"

UNLIMITED = -1
HOUR_MS = 3_600_000
UNIT_MS = {"d": 24 * HOUR_MS, "h": HOUR_MS, "m": 60_000}
MESSAGE_BYTES_MAX = 2 * 1024 * 1024  # a full batch of a producer (1 MiB) with its headers; one fact is at most 64 KiB
SEGMENTS_PER_RETENTION = 6
BOOTSTRAP_MS = 15_000


class TopicsError(Exception):
    """The declaration is wrong, or the cluster holds what must not be changed; the message names each case."""


@dataclass(frozen=True, slots=True)
class Topic:
    """One declared topic. `retention_ms` is -1 for facts that are kept for ever."""

    name: str
    owner: str
    key: str
    lane: bool
    partitions: int
    retention_ms: int
    consumers: tuple[str, ...]

    def watermark(self) -> "Topic":
        """The companion in which the owner's relay says how far this topic has come."""
        return replace(self, name=self.name + WATERMARK_SUFFIX, retention_ms=HOUR_MS)


@dataclass(frozen=True, slots=True)
class Plan:
    """What `apply` does: topics to create, and settings to change by topic and name. False when nothing is to do."""

    create: tuple[Topic, ...]
    change: Mapping[str, Mapping[str, str]]

    def __bool__(self) -> bool:
        return bool(self.create or self.change)


@dataclass(frozen=True, slots=True)
class Found:
    """A topic as the cluster has it."""

    partitions: int
    replication: int
    settings: Mapping[str, str]


def load(path: Path = DECLARATION) -> list[Topic]:
    """The declared topics, without their watermark companions; raises TopicsError when the declaration is wrong."""
    document = yaml.safe_load(path.read_text())
    try:
        topics = [read_topic(fields) for fields in document["topics"]]
    except (KeyError, TypeError, ValueError) as error:
        raise TopicsError(f"{path} is not a list of topics with all their fields: {error}") from error
    names = [topic.name for topic in topics]
    if repeated := {name for name in names if names.count(name) > 1}:
        raise TopicsError(f"{path} declares more than once: {', '.join(sorted(repeated))}")
    return topics


def read_topic(fields: dict[str, object]) -> Topic:
    """One topic from its YAML mapping; raises KeyError, TypeError or ValueError when a field is missing or wrong."""
    retention_ms = read_retention_ms(str(fields.pop("retention")))
    consumers = fields.pop("consumers")
    if not isinstance(consumers, list):
        raise TypeError("consumers must be a list")
    topic = Topic(**fields, retention_ms=retention_ms, consumers=tuple(consumers))  # type: ignore[arg-type]  # read below
    is_sound = isinstance(topic.lane, bool) and isinstance(topic.partitions, int) and topic.partitions > 0
    if not is_sound or not re.fullmatch(r"holdspace(\.[a-z][a-z0-9-]*)+\.v\d+", topic.name):
        raise ValueError(f"{topic.name}: name, lane or partitions are not as they must be")
    return topic


def read_retention_ms(text: str) -> int:
    """Milliseconds from "unlimited" (-1) or a number with the unit d, h or m; raises ValueError on anything else."""
    if text == "unlimited":
        return UNLIMITED
    parts = re.fullmatch(r"(\d+)([dhm])", text)
    if parts is None:
        raise ValueError(f"retention {text!r} is neither unlimited nor a number with d, h or m")
    return int(parts[1]) * UNIT_MS[parts[2]]


def plan(bootstrap: str, topics: Sequence[Topic], *, replication: int, partitions: int | None = None) -> Plan:
    """What the cluster lacks of the topics and their companions.

    `replication` is the number of copies (3 in production, 1 on a laptop); `partitions` replaces the declared count
    everywhere, for a laptop. Raises TopicsError when a topic exists with another partition count.
    """
    with KafkaAdminClient(bootstrap_servers=bootstrap, bootstrap_timeout_ms=BOOTSTRAP_MS) as client:
        return plan_with(client, topics, replication, partitions)


def apply(bootstrap: str, topics: Sequence[Topic], *, replication: int, partitions: int | None = None) -> Plan:
    """Carry out the plan and return it once every new topic has leaders; an empty plan touches nothing.

    Takes and raises what `plan` does. Two callers at once are safe: the second finds the first one's topics.
    """
    with KafkaAdminClient(bootstrap_servers=bootstrap, bootstrap_timeout_ms=BOOTSTRAP_MS) as client:
        todo = plan_with(client, topics, replication, partitions)
        new = {
            topic.name: {
                "num_partitions": topic.partitions,
                "replication_factor": replication,
                "configs": settings_of(topic, replication),
            }
            for topic in todo.create
        }
        if new:
            answers = client.create_topics(new, raise_errors=False)["topics"]
            # Another caller may have created some of them just now; whether as wanted, the last look tells.
            refused = [each for each in answers if each["error_code"] not in (0, TopicAlreadyExistsError.errno)]
            if refused:
                raise TopicsError("; ".join(f"{each['name']}: {each['error_message']}" for each in refused))
            client.wait_for_topics(list(new))
        if todo.change:
            client.alter_configs(
                [ConfigResource(ConfigResourceType.TOPIC, name, dict(change)) for name, change in todo.change.items()]
            )
        if rest := plan_with(client, topics, replication, partitions):
            raise TopicsError(f"the cluster did not accept: {', '.join(describe(rest))}")
        return todo


def drift(bootstrap: str, topics: Sequence[Topic], *, replication: int, partitions: int | None = None) -> list[str]:
    """One line for each way in which the cluster differs, also those `apply` never mends; empty when it does not."""
    wanted = complete(topics, partitions)
    with KafkaAdminClient(bootstrap_servers=bootstrap, bootstrap_timeout_ms=BOOTSTRAP_MS) as client:
        found = look(client)
    lines = moved(wanted, found)
    lines += describe(compare(wanted, found, replication))
    for topic in wanted:
        if topic.name in found and found[topic.name].replication != replication:
            lines.append(f"{topic.name} has {found[topic.name].replication} copies, not {replication}")
    return lines + [f"{name} is not declared" for name in sorted(found.keys() - {topic.name for topic in wanted})]


def describe(todo: Plan) -> list[str]:
    """A plan in lines a person can read."""
    lines = [f"{topic.name} is missing ({topic.partitions} partitions)" for topic in todo.create]
    for name, change in todo.change.items():
        lines += [f"{name} should have {setting}={value}" for setting, value in change.items()]
    return lines


def plan_with(client: KafkaAdminClient, topics: Sequence[Topic], replication: int, partitions: int | None) -> Plan:
    """The plan, over an open client; raises TopicsError like `plan`."""
    wanted, found = complete(topics, partitions), look(client)
    if lines := moved(wanted, found):
        raise TopicsError(f"partition counts never change, keys would move: {'; '.join(lines)}")
    return compare(wanted, found, replication)


def complete(topics: Sequence[Topic], partitions: int | None) -> list[Topic]:
    """The topics and their companions, with the partition count to use."""
    chosen = [topic if partitions is None else replace(topic, partitions=partitions) for topic in topics]
    return [each for topic in chosen for each in (topic, topic.watermark())]


def moved(wanted: Sequence[Topic], found: Mapping[str, Found]) -> list[str]:
    """A line for each topic that exists with another partition count than wanted."""
    return [
        f"{topic.name} has {found[topic.name].partitions} partitions, not {topic.partitions}"
        for topic in wanted
        if topic.name in found and found[topic.name].partitions != topic.partitions
    ]


def compare(wanted: Sequence[Topic], found: Mapping[str, Found], replication: int) -> Plan:
    """What is missing or set otherwise, partition counts aside."""
    change = {}
    for topic in wanted:
        if topic.name in found:
            actual = found[topic.name].settings
            settings = settings_of(topic, replication)
            if different := {name: value for name, value in settings.items() if actual.get(name) != value}:
                change[topic.name] = different
    return Plan(create=tuple(topic for topic in wanted if topic.name not in found), change=change)


def settings_of(topic: Topic, replication: int) -> dict[str, str]:
    """The topic's settings in Kafka's words: with three copies, a write is acknowledged by two."""
    settings = {
        "cleanup.policy": "delete",
        "retention.ms": str(topic.retention_ms),
        "retention.bytes": str(UNLIMITED),
        "max.message.bytes": str(MESSAGE_BYTES_MAX),
        "min.insync.replicas": str(min(2, max(1, replication - 1))),
        "unclean.leader.election.enable": "false",
    }
    if topic.retention_ms == UNLIMITED:
        return settings
    # Only a closed segment can be dropped, and one that is written to closes after a week unless told otherwise.
    return {**settings, "segment.ms": str(max(topic.retention_ms // SEGMENTS_PER_RETENTION, UNIT_MS["m"]))}


def look(client: KafkaAdminClient) -> dict[str, Found]:
    """Every topic of ours in the cluster, by name."""
    described = [topic for topic in client.describe_topics() if topic["name"].startswith(PREFIX)]
    if not described:
        return {}
    resources = [ConfigResource(ConfigResourceType.TOPIC, topic["name"]) for topic in described]
    settings = client.describe_configs(resources, config_filter="all")["topic"]
    return {
        topic["name"]: Found(
            partitions=len(topic["partitions"]),
            replication=len(topic["partitions"][0]["replica_nodes"]),
            settings={name: config["value"] for name, config in settings[topic["name"]].items()},
        )
        for topic in described
    }
