"""Golden bytes: a fact of every type as it was once stored, which every later release must read the same.

One file per fact type, with more than one example where fields exclude each other or were added later. A file is only
ever added to, by `python -m tests.contract.golden --write-missing`: for types and fields that have no example yet.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from holdspace.kernel.v1.envelope_pb2 import Envelope
from kernel.facts import FactType, FactTypes, Origin
from tests.architecture import protos

FOLDER = Path(__file__).parent
SEEN_AT = datetime(2026, 3, 2, 12, 30, 15, 123_456, tzinfo=UTC)
ORIGIN = Origin(
    "golden", "person-1", "cause-1", "correlation-1", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
)
TIMESTAMP = Timestamp.DESCRIPTOR.full_name


@dataclass(frozen=True, slots=True)
class Golden:
    """`values`: the payload as JSON, by the names of its fields."""

    fact: bytes
    values: dict[str, Any]


@cache
def types() -> FactTypes:
    return FactTypes(*protos.modules())


def read(name: str) -> list[Golden]:
    """Returns the examples of a fact type, none for an unknown one. Raises ValueError for a file that was spoilt."""
    path = FOLDER / f"{name}.json"
    if not path.exists():
        return []
    return [Golden(bytes.fromhex(each["fact"]), each["values"]) for each in json.loads(path.read_text())]


def names() -> set[str]:
    """Returns the fact types that have a file."""
    return {path.stem for path in FOLDER.glob("*.json")}


def write_missing() -> list[str]:
    """Adds an example wherever a field of a fact type is in none. Returns the types it added to."""
    written = []
    for fact_type in protos.fact_types():
        examples = read(fact_type.name)
        missing = uncovered(fact_type, examples)
        for variant in range(variants(fact_type.message.DESCRIPTOR)):
            example = make(fact_type, variant)
            if missing & paths_of(example.values):
                examples.append(example)
                missing -= paths_of(example.values)
        if missing:
            raise AssertionError(f"no example reaches {fact_type.name}: {sorted(missing)}")
        if len(examples) > len(read(fact_type.name)) or not read(fact_type.name):
            write(fact_type.name, examples or [make(fact_type, 0)])
            written.append(fact_type.name)
    return written


def write(name: str, examples: Sequence[Golden]) -> None:
    content = [{"fact": example.fact.hex(), "values": example.values} for example in examples]
    (FOLDER / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n")


def uncovered(fact_type: FactType, examples: Sequence[Golden]) -> set[str]:
    """Returns the fields of the type, nested ones by their path, that no example has."""
    covered = {path for example in examples for path in paths_of(example.values)}
    return set(paths(fact_type.message.DESCRIPTOR)) - covered


def make(fact_type: FactType, variant: int) -> Golden:
    payload = filled(fact_type.message(), variant)
    sealed = types().seal(payload, "00000000000000000000000000000001", SEEN_AT, ORIGIN)
    return Golden(sealed, values_of(payload))


def values_of(payload: Message) -> dict[str, Any]:
    values: dict[str, Any] = MessageToDict(payload, preserving_proto_field_name=True)
    return values


def payload_of(golden: Golden) -> Message:
    return types().payload(Envelope.FromString(golden.fact))


# Every field has a value of its own that is not its default.


def filled(message: Message, variant: int) -> Message:
    chosen = [oneof.fields[variant % len(oneof.fields)] for oneof in message.DESCRIPTOR.oneofs]
    for field in message.DESCRIPTOR.fields:
        if field.containing_oneof is not None and field not in chosen:
            continue
        if field.is_repeated:
            if field.message_type is not None:
                for place in range(2):
                    filled(getattr(message, field.name).add(), variant + place)
            else:
                getattr(message, field.name).extend(scalar(field, place) for place in range(2))
        elif field.message_type is not None:
            inner = getattr(message, field.name)
            inner.SetInParent()
            filled(inner, variant)
        else:
            setattr(message, field.name, scalar(field, variant))
    return message


def scalar(field: FieldDescriptor, place: int) -> Any:
    match field.cpp_type:
        case FieldDescriptor.CPPTYPE_STRING if field.type == FieldDescriptor.TYPE_BYTES:
            return hashlib.sha256(f"{field.name}-{place}".encode()).digest()
        case FieldDescriptor.CPPTYPE_STRING:
            return f"{field.name}-{place}"
        case FieldDescriptor.CPPTYPE_BOOL:
            return True
        case FieldDescriptor.CPPTYPE_ENUM:
            numbers = [value.number for value in field.enum_type.values if value.number]
            return numbers[(field.number + place) % len(numbers)]
        case _ if field.containing_type.full_name == TIMESTAMP:
            return {"seconds": 1_772_454_600, "nanos": 250_000_000}[field.name]
        case _:
            return 100 * field.number + place + 1


def variants(message: Descriptor) -> int:
    """Returns how many examples it takes for every alternative of every oneof."""
    inner = [variants(field.message_type) for field in message.fields if field.message_type is not None]
    return max([1, *inner, *(len(oneof.fields) for oneof in message.oneofs)])


def paths(message: Descriptor, within: str = "") -> Iterator[str]:
    for field in message.fields:
        path = f"{within}{field.name}"
        if field.message_type is None or field.message_type.full_name == TIMESTAMP:
            yield path
        else:
            yield from paths(field.message_type, f"{path}.")


def paths_of(values: dict[str, Any], within: str = "") -> set[str]:
    found: set[str] = set()
    for name, value in values.items():
        for each in value if isinstance(value, list) else [value]:
            found |= paths_of(each, f"{within}{name}.") if isinstance(each, dict) else {f"{within}{name}"}
    return found
