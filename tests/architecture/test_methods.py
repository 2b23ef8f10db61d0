"""What every method of every service declares: who may call it, and under which id it changes something."""

from collections.abc import Iterator

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor import Descriptor, MethodDescriptor

from kernel.grpc.access import check_declared
from kernel.grpc.errors import WrongDeclaration
from tests.architecture import protos
from tests.architecture.sources import SERVICES

METHODS = [method for service in protos.services() for method in service.methods]
READS = ("Get", "List")
"""What changes nothing starts with one of these; any other method is a mutation."""


def request_ids(message: Descriptor) -> Iterator[Descriptor]:
    """Yields the message, or those inside it, that have a request id."""
    if "request_id" in message.fields_by_name:
        yield message
    for field in message.fields:
        if field.message_type is not None:
            yield from request_ids(field.message_type)


def is_read(method: MethodDescriptor) -> bool:
    return bool(method.name.startswith(READS))


@pytest.mark.rule("PL5.a")
def test_every_method_of_every_service_declares_who_may_call_it() -> None:
    declared = check_declared(protos.services())
    assert len(declared) == len(METHODS) > 25
    assert all(method.right for method in declared.values())
    assert {protos.service_of(service.file) for service in protos.services()} == set(SERVICES)


@pytest.mark.rule("PL4")
@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.full_name)
def test_what_changes_something_takes_a_request_id_and_what_reads_takes_none(method: MethodDescriptor) -> None:
    assert bool(list(request_ids(method.input_type))) != is_read(method)


@pytest.mark.rule("PL4")
@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.full_name)
def test_a_list_pages(method: MethodDescriptor) -> None:
    if method.name.startswith("List"):
        assert {"page_size", "page_token"} <= set(method.input_type.fields_by_name)
        assert "next_page_token" in method.output_type.fields_by_name


def test_a_right_belongs_to_the_service_whose_method_asks_for_it() -> None:
    for path, method in check_declared(protos.services()).items():
        assert method.right.split(".")[0] == path.split(".")[1], path


@pytest.mark.rule("PL5")
def test_a_method_without_a_right_would_be_found() -> None:
    file = descriptor_pb2.FileDescriptorProto(name="open.proto", package="open", syntax="proto3")
    file.message_type.add(name="Anything")
    file.service.add(name="Open").method.add(name="Do", input_type=".open.Anything", output_type=".open.Anything")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    with pytest.raises(WrongDeclaration, match="declares no right"):
        check_declared([pool.FindServiceByName("open.Open")])
