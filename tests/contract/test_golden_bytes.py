"""Facts are never changed, so what was stored once is read for ever, and read the same."""

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from holdspace.kernel.v1.envelope_pb2 import Envelope
from holdspace.moderation.v1 import private_pb2
from kernel.facts import FactType
from tests.architecture import protos
from tests.contract import golden
from tests.contract.golden import Golden, payload_of, uncovered, values_of

FACT_TYPES = protos.fact_types()
EXAMPLES = [(name, place) for name in sorted(golden.names()) for place in range(len(golden.read(name)))]


@pytest.mark.parametrize("fact_type", FACT_TYPES, ids=lambda fact_type: fact_type.name)
def test_every_field_of_every_fact_type_has_an_example(fact_type: FactType) -> None:
    examples = golden.read(fact_type.name)
    assert examples, "python -m tests.contract.golden --write-missing"
    assert uncovered(fact_type, examples) == set(), "python -m tests.contract.golden --write-missing"


def test_no_example_has_lost_its_fact_type() -> None:
    assert golden.names() <= {fact_type.name for fact_type in FACT_TYPES}
    assert len(EXAMPLES) >= len(FACT_TYPES) > 30


@pytest.mark.rule("PL1")
@pytest.mark.parametrize(("name", "place"), EXAMPLES)
def test_stored_bytes_decode_to_the_values_they_had_and_encode_to_the_same_bytes(name: str, place: int) -> None:
    example = golden.read(name)[place]
    envelope = Envelope.FromString(example.fact)
    payload = payload_of(example)
    assert envelope.type == name == payload.DESCRIPTOR.full_name
    assert values_of(payload) == example.values
    assert payload.SerializeToString(deterministic=True) == envelope.payload
    assert envelope.SerializeToString(deterministic=True) == example.fact


def test_a_changed_byte_or_a_renamed_value_would_be_seen() -> None:
    name, _ = EXAMPLES[0]
    example = golden.read(name)[0]
    value = next(value for value in example.values.values() if isinstance(value, str))
    changed = Golden(example.fact.replace(value.encode(), value.encode()[::-1]), example.values)
    assert values_of(payload_of(changed)) != changed.values


@pytest.mark.parametrize("change", ["taken out", "renumbered"])
def test_a_field_that_was_taken_out_or_renumbered_would_be_seen(change: str) -> None:
    example = golden.read("holdspace.moderation.v1.BadFaithFound")[0]
    file = descriptor_pb2.FileDescriptorProto(name="changed.proto", package="changed", syntax="proto3")
    message = file.message_type.add()
    private_pb2.BadFaithFound.DESCRIPTOR.CopyToProto(message)
    message.ClearField("options")
    if change == "taken out":
        del message.field[-1]
    else:
        message.field[-1].number = 9
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    changed = message_factory.GetMessageClass(pool.FindMessageTypeByName("changed.BadFaithFound"))
    assert values_of(changed.FromString(Envelope.FromString(example.fact).payload)) != example.values
