"""Well-formed requests for any method, made from what its fields declare."""

from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from holdspace.kernel.v1.options_pb2 import input as input_option


def well_formed(descriptor: Descriptor, *, person: str = "somebody", persons: frozenset[str] = frozenset()) -> Message:
    """Returns a request that passes the input checks. The fields named in `persons` are set to the person."""
    request = GetMessageClass(descriptor)()
    for field in descriptor.fields:
        declared = field.GetOptions().Extensions[input_option]
        if declared.id or field.name in persons:
            value = person if field.name in persons else f"{field.name}-1"
            if field.is_repeated:
                getattr(request, field.name).append(value)
            else:
                setattr(request, field.name, value)
        elif declared.required or field.name == "messages":
            _fill(request, field, person, persons)
    return request


def _fill(request: Any, field: FieldDescriptor, person: str, persons: frozenset[str]) -> None:
    if field.message_type is not None:
        if field.message_type.full_name == "google.protobuf.Timestamp":
            getattr(request, field.name).seconds = 1_700_000_000
            return
        inner = well_formed(field.message_type, person=person, persons=persons)
        (getattr(request, field.name).add() if field.is_repeated else getattr(request, field.name)).CopyFrom(inner)
    elif field.type == FieldDescriptor.TYPE_BYTES:
        setattr(request, field.name, b"x")
    elif field.type == FieldDescriptor.TYPE_STRING:
        setattr(request, field.name, "x")
    else:
        setattr(request, field.name, 1)
