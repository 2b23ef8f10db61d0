"""Everything that the project's proto files declare, found by walking the generated modules."""

import importlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FileDescriptor, ServiceDescriptor

import holdspace
from holdspace.kernel.v1.options_pb2 import fact as fact_option
from kernel.facts import FactType, FactTypes


@cache
def modules() -> tuple[ModuleType, ...]:
    names = {
        ".".join(("holdspace", *path.relative_to(folder).with_suffix("").parts))
        for folder in map(Path, holdspace.__path__)
        for path in folder.rglob("*_pb2.py")
    }
    return tuple(importlib.import_module(name) for name in sorted(names))


def files() -> Iterator[FileDescriptor]:
    for module in modules():
        yield module.DESCRIPTOR


def service_of(file: FileDescriptor) -> str:
    """Returns `messaging` for a file of holdspace.messaging.v1, `kernel` for one of the kernel."""
    return str(file.package.split(".")[1])


def fact_types() -> list[FactType]:
    """Returns every fact type of the platform, by name."""
    return sorted(FactTypes(*modules()), key=lambda fact_type: fact_type.name)


def nested(message: Descriptor) -> Iterator[Descriptor]:
    """Yields the message and those declared inside it."""
    yield message
    for inner in message.nested_types:
        yield from nested(inner)


def is_fact(message: Descriptor) -> bool:
    return bool(message.GetOptions().HasExtension(fact_option))


def messages() -> Iterator[Descriptor]:
    for file in files():
        for message in file.message_types_by_name.values():
            yield from nested(message)


def services() -> list[ServiceDescriptor]:
    return [service for file in files() for service in file.services_by_name.values()]


def enums(name: str) -> Iterator[tuple[str, EnumDescriptor]]:
    """Yields the enums of this name with the services that declare them."""
    for file in files():
        if name in file.enum_types_by_name:
            yield service_of(file), file.enum_types_by_name[name]
