"""Checks requests against what their fields declare (options.proto, Input): compiled at start, run on every request."""

from collections.abc import Callable, Iterator
from typing import Any

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message

from holdspace.kernel.v1.options_pb2 import Input
from holdspace.kernel.v1.options_pb2 import input as input_option
from kernel.errors import Rejected
from kernel.ids import ID

Check = Callable[[Any], None]
"""Takes a message. Raises Rejected with FIELD_MISSING, FIELD_MALFORMED or FIELD_TOO_LARGE and the path of the field."""

Fault = Callable[[Any], str]
"""Takes one value of a field. Returns the reason it cannot be taken, empty when it can."""

TEXTS = (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES)
TIMESTAMP_SECONDS = range(-62_135_596_800, 253_402_300_800)  # years 1 to 9999, as google.protobuf.Timestamp has it
DURATION_SECONDS = range(-315_576_000_000, 315_576_000_001)  # 10,000 years, as google.protobuf.Duration has it


class Inputs:
    """Compiles checks, one for each message type. `wrong` collects declarations that cannot be, a line for each."""

    def __init__(self) -> None:
        self.wrong: list[str] = []
        self._checks: dict[str, list[Check]] = {}

    def check(self, descriptor: Descriptor) -> Callable[[Message], None]:
        checks = self._of(descriptor)

        def check(message: Message) -> None:
            for one in checks:
                one(message)

        return check

    def _of(self, descriptor: Descriptor) -> list[Check]:
        known = self._checks.get(descriptor.full_name)
        if known is not None:
            return known
        checks = self._checks[descriptor.full_name] = []  # Entered first: a message may contain its own kind.
        for field in descriptor.fields:
            declared = field.GetOptions().Extensions[input_option]
            wrong = list(_contradictions(field, declared))
            self.wrong.extend(f"{field.full_name}: {line}" for line in wrong)
            if not wrong:
                checks.extend(self._of_field(field, declared))
        return checks

    def _of_field(self, field: FieldDescriptor, declared: Input) -> Iterator[Check]:
        if declared.required and field.enum_type is None:
            yield _present(field)
        if declared.size_max:
            yield _bounded(field, declared.size_max)
        if declared.id:
            yield _every(field, _id_fault(declared.optional))
        if field.enum_type is not None:
            yield _every(field, _enum_fault(field.enum_type, declared.required))
        if field.message_type is not None:
            yield from self._of_message(field, field.message_type)

    def _of_message(self, field: FieldDescriptor, message: Descriptor) -> Iterator[Check]:
        if message.full_name == "google.protobuf.Timestamp":
            yield _every(field, _timestamp_fault)
        elif message.full_name == "google.protobuf.Duration":
            yield _every(field, _duration_fault)
        elif message.GetOptions().map_entry:
            value = message.fields_by_name["value"].message_type
            if value is not None:
                yield _nested(field, self._of(value), is_map=True)
        else:
            yield _nested(field, self._of(message), is_map=False)


def _contradictions(field: FieldDescriptor, declared: Input) -> Iterator[str]:
    is_text = field.type in TEXTS
    if declared.id and field.type != FieldDescriptor.TYPE_STRING:
        yield "only a string can be an id"
    if declared.optional and not declared.id:
        yield "only an id is marked optional"
    if declared.size_max and not (is_text or field.is_repeated):
        yield "only a string, bytes or a list has a size_max"
    if declared.required and field.type == FieldDescriptor.TYPE_BOOL and not field.has_presence:
        yield "false without presence cannot be told from missing"
    if declared.required and _is_alternative(field):
        yield "one of several alternatives cannot be required"


def _is_alternative(field: FieldDescriptor) -> bool:
    """Says whether the field is in a oneof of the file; an optional field is in one of its own, named after it."""
    return field.containing_oneof is not None and field.containing_oneof.name != f"_{field.name}"


def _present(field: FieldDescriptor) -> Check:
    name = field.name

    def set_message(message: Message) -> None:
        if not message.HasField(name):
            raise Rejected("FIELD_MISSING", name)

    def not_empty(message: Message) -> None:
        if not getattr(message, name):
            raise Rejected("FIELD_MISSING", name)

    return set_message if field.has_presence and field.type not in TEXTS else not_empty


def _bounded(field: FieldDescriptor, size_max: int) -> Check:
    name = field.name
    is_string = field.type == FieldDescriptor.TYPE_STRING and not field.is_repeated

    def check(message: Message) -> None:
        value = getattr(message, name)
        if len(value.encode() if is_string else value) > size_max:
            raise Rejected("FIELD_TOO_LARGE", name)

    return check


def _every(field: FieldDescriptor, fault: Fault) -> Check:
    """Asks for the fault of the field's value, or of each of its values."""
    name = field.name
    may_be_absent = field.message_type is not None or _is_alternative(field)

    def each(message: Message) -> None:
        for index, value in enumerate(getattr(message, name)):
            if reason := fault(value):
                raise Rejected(reason, f"{name}[{index}]")

    def one(message: Message) -> None:
        if reason := fault(getattr(message, name)):
            raise Rejected(reason, name)

    def one_if_there(message: Message) -> None:
        if message.HasField(name):
            one(message)

    if field.is_repeated:
        return each
    return one_if_there if may_be_absent else one


def _nested(field: FieldDescriptor, checks: list[Check], *, is_map: bool) -> Check:
    name = field.name

    def each(message: Message) -> None:
        values = getattr(message, name)
        for index, value in values.items() if is_map else enumerate(values):
            try:
                for check in checks:
                    check(value)
            except Rejected as at:
                raise Rejected(at.reason, f"{name}[{index}].{at.field}") from None

    def one(message: Message) -> None:
        if not message.HasField(name):
            return
        value = getattr(message, name)
        try:
            for check in checks:
                check(value)
        except Rejected as at:
            raise Rejected(at.reason, f"{name}.{at.field}") from None

    return each if field.is_repeated else one


def _id_fault(optional: bool) -> Fault:
    when_empty = "" if optional else "FIELD_MISSING"
    matches = ID.match  # Not by `is_id`: this is asked more often than anything else of a request.

    def fault(value: str) -> str:
        if matches(value):
            return ""
        return "FIELD_MALFORMED" if value else when_empty

    return fault


def _enum_fault(enum: EnumDescriptor, required: bool) -> Fault:
    known = frozenset(enum.values_by_number)

    def fault(value: int) -> str:
        if required and value == 0:
            return "FIELD_MISSING"
        return "" if value in known else "FIELD_MALFORMED"

    return fault


def _timestamp_fault(value: Any) -> str:  # noqa: ANN401 - a google.protobuf.Timestamp
    return "" if value.seconds in TIMESTAMP_SECONDS and 0 <= value.nanos < 10**9 else "FIELD_MALFORMED"


def _duration_fault(value: Any) -> str:  # noqa: ANN401 - a google.protobuf.Duration
    agree = value.seconds == 0 or value.nanos == 0 or (value.seconds > 0) == (value.nanos > 0)
    return "" if agree and value.seconds in DURATION_SECONDS and abs(value.nanos) < 10**9 else "FIELD_MALFORMED"
