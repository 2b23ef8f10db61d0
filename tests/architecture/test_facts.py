"""Facts are kept for ever: where each goes is declared, and none can carry what must be erased."""

from collections.abc import Iterator

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.timestamp_pb2 import Timestamp

from holdspace.messaging.v1 import events_pb2, service_pb2
from infra import topics
from kernel.facts import FactType
from tests.architecture import protos

FACT_TYPES = protos.fact_types()
TOPICS = {topic.name: topic for topic in topics.load()}

# Strings that are no ids and still no words of a person. Each was read; a new one needs a reader.
REVIEWED = {
    "gate": "names a gate of the platform",
    "method": "names a provider's method",
    "policy_version": "names a version of the policy",
    "source": "names the system that history was brought from",
    "source_type": "full name of a fact's message",
    "state": "a state of a gate",
    "subject": "an id; of a client or a therapist, by the gate",
    "time_zone": "a name of the IANA database",
}


def fields(message: Descriptor, within: str = "") -> Iterator[tuple[str, FieldDescriptor]]:
    """Yields the fields of the message and of those inside it, each with its path."""
    for field in message.fields:
        path = f"{within}{field.name}"
        if field.message_type is None or field.message_type.full_name == Timestamp.DESCRIPTOR.full_name:
            yield path, field
        else:
            yield from fields(field.message_type, f"{path}.")


def is_harmless(field: FieldDescriptor) -> bool:
    if field.type == FieldDescriptor.TYPE_STRING:
        return field.name.endswith(("_ids",) if field.is_repeated else ("_id",)) or field.name in REVIEWED
    if field.type == FieldDescriptor.TYPE_BYTES:
        return field.name == "sha256" or field.name.endswith("_sha256")
    if field.message_type is not None:
        return field.message_type.full_name == Timestamp.DESCRIPTOR.full_name
    return True  # a number, a truth value or an enum


def free_text(message: Descriptor) -> list[str]:
    return [path for path, field in fields(message) if not is_harmless(field)]


by_name = pytest.mark.parametrize("fact_type", FACT_TYPES, ids=lambda fact_type: fact_type.name)


@pytest.mark.rule("MS2")
@by_name
def test_a_fact_has_no_room_for_free_text(fact_type: FactType) -> None:
    assert free_text(fact_type.message.DESCRIPTOR) == []


def test_free_text_would_be_found() -> None:
    assert free_text(service_pb2.SendMessageRequest.DESCRIPTOR) == ["body"]
    assert free_text(service_pb2.SendError.DESCRIPTOR) == ["reason", "field"]
    assert free_text(events_pb2.MessageSent.DESCRIPTOR) == []


def test_every_reviewed_name_is_still_in_use() -> None:
    used = {field.name for fact_type in FACT_TYPES for _, field in fields(fact_type.message.DESCRIPTOR)}
    assert REVIEWED.keys() <= used


@pytest.mark.rule("PL1")
@by_name
def test_a_published_fact_goes_to_a_declared_topic_of_its_own_service_under_its_key(fact_type: FactType) -> None:
    descriptor = fact_type.message.DESCRIPTOR
    if not fact_type.topic:
        assert descriptor.file.name.rsplit("/", 1)[1] in ("private.proto", "gate.proto")
        assert fact_type.key == ""
        return
    assert descriptor.file.name.endswith("/events.proto")
    topic = TOPICS[fact_type.topic]
    assert topic.owner == protos.service_of(descriptor.file).replace("_", "-")
    assert fact_type.key in topic.key.split(" or ")
    assert descriptor.fields_by_name[fact_type.key].type == FieldDescriptor.TYPE_STRING


@by_name
def test_a_fact_names_the_persons_it_is_about(fact_type: FactType) -> None:
    assert fact_type.subjects
    declared = fact_type.message.DESCRIPTOR.fields_by_name
    assert all(declared[name].type == FieldDescriptor.TYPE_STRING for name in fact_type.subjects)
    persons = {name for name in declared if name in ("client_id", "therapist_id", "reporter_id")}
    assert persons <= set(fact_type.subjects)


def test_every_topic_carries_facts_and_every_fact_is_a_message_of_its_own() -> None:
    assert {fact_type.topic for fact_type in FACT_TYPES} - {""} == TOPICS.keys()
    found = {message.full_name for message in protos.messages() if protos.is_fact(message)}
    assert found == {fact_type.name for fact_type in FACT_TYPES}  # none is declared inside another message
