"""Who may call what, as the proto files declare it (options.proto, Access)."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from google.protobuf.descriptor import Descriptor, MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message

from holdspace.kernel.v1.options_pb2 import access as access_option
from holdspace.kernel.v1.options_pb2 import input as input_option
from kernel.errors import Rejected
from kernel.grpc.auth import Caller
from kernel.grpc.errors import WrongDeclaration
from kernel.grpc.inputs import Inputs

ACT_FOR = "act_for"
"""The right by which a service acts for the person it names."""


@dataclass(frozen=True, slots=True)
class Method:
    """One method with everything its calls are checked for."""

    service: str  # full name
    name: str
    right: str
    acts_for: tuple[str, ...]  # path to the field that names the person; empty: the call is made in nobody's name
    is_mutation: bool  # its request has a request_id
    check: Callable[[Message], None]  # raises Rejected for a malformed request


def check_declared(services: Iterable[ServiceDescriptor]) -> dict[str, Method]:
    """Returns every method of the services by its path, such as /holdspace.messaging.v1.MessagingService/Send.

    Raises WrongDeclaration naming all methods without a right, and all whose request lacks what its fields promise.
    """
    inputs = Inputs()
    methods: dict[str, Method] = {}
    wrong: list[str] = []
    for method in (method for service in services for method in service.methods):
        declared = method.GetOptions().Extensions[access_option]
        wrong.extend(f"{method.full_name}: {line}" for line in _omissions(method))
        path = f"/{method.containing_service.full_name}/{method.name}"
        methods[path] = Method(
            service=method.containing_service.full_name,
            name=method.name,
            right=declared.right,
            acts_for=tuple(declared.acts_for.split(".")) if declared.acts_for else (),
            is_mutation="request_id" in method.input_type.fields_by_name,
            check=inputs.check(method.input_type),
        )
    if wrong or inputs.wrong:
        raise WrongDeclaration("\n".join([*wrong, *inputs.wrong]))
    return methods


def check_right(method: Method, caller: Caller) -> None:
    """Raises Rejected RIGHT_MISSING."""
    if method.right not in caller.rights:
        raise Rejected("RIGHT_MISSING")


def acting_person(method: Method, caller: Caller, request: Message) -> str:
    """Returns whom the request acts for; empty when nobody, or several: then each part of it names its own.

    Raises Rejected PERSON_NOT_YOURS with the field, the first of several.
    """
    if not method.acts_for:
        return ""
    persons = _persons(request, method.acts_for)
    mine = {caller.subject} if caller.kind == "person" else persons if ACT_FOR in caller.rights else set()
    if not persons <= mine:
        at_fault = (path for path, person in _paths(request, method.acts_for) if person not in mine)
        raise Rejected("PERSON_NOT_YOURS", next(at_fault))
    return persons.pop() if len(persons) == 1 else ""


def _persons(request: Message, names: Sequence[str]) -> set[str]:
    """Returns the values of the fields that the names lead to, through lists too."""
    messages = [request]
    for name in names[:-1]:
        if messages and messages[0].DESCRIPTOR.fields_by_name[name].is_repeated:
            messages = [element for message in messages for element in getattr(message, name)]
        else:
            messages = [getattr(message, name) for message in messages]
    return {getattr(message, names[-1]) for message in messages}


def _paths(message: Message, names: Sequence[str], within: str = "") -> Iterator[tuple[str, str]]:
    """Yields the path of each of these fields, with its value."""
    name, rest = names[0], names[1:]
    value = getattr(message, name)
    if not rest:
        yield within + name, value
    elif message.DESCRIPTOR.fields_by_name[name].is_repeated:
        for index, element in enumerate(value):
            yield from _paths(element, rest, f"{within}{name}[{index}].")
    else:
        yield from _paths(value, rest, f"{within}{name}.")


def _omissions(method: MethodDescriptor) -> Iterator[str]:
    declared = method.GetOptions().Extensions[access_option]
    fields = method.input_type.fields_by_name
    if not declared.right:
        yield "declares no right"
    if declared.acts_for and not _leads_to_id(method.input_type, declared.acts_for.split(".")):
        yield f"acts_for must lead to a required id, through lists and required messages: {declared.acts_for}"
    if "request_id" in fields and not _is_required_id(method.input_type, "request_id"):
        yield "request_id must be a required id"
    if "page_size" in fields and not (
        "page_token" in fields and "next_page_token" in method.output_type.fields_by_name
    ):
        yield "a list has page_size, page_token and next_page_token"


def _leads_to_id(message: Descriptor, names: Sequence[str]) -> bool:
    if len(names) == 1:
        return _is_required_id(message, names[0])
    field = message.fields_by_name.get(names[0])
    if field is None or field.message_type is None:
        return False
    is_there = field.is_repeated or field.GetOptions().Extensions[input_option].required
    return is_there and _leads_to_id(field.message_type, names[1:])


def _is_required_id(message: Descriptor, name: str) -> bool:
    field = message.fields_by_name.get(name)
    if field is None or field.is_repeated or field.containing_oneof is not None:
        return False
    declared = field.GetOptions().Extensions[input_option]
    return declared.id and not declared.optional
