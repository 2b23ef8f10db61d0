"""A small service, its issuer of tokens and its settings: what the tests of the gRPC kernel call for real."""

import asyncio
import importlib
import json
import sys
import tempfile
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from types import ModuleType
from typing import Any

import grpc
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.message import Message
from grpc_tools import protoc
from prometheus_client import CollectorRegistry

from kernel.clock import ManualClock
from kernel.errors import Rejected
from kernel.grpc.call import CallContext, current_call
from kernel.grpc.client import channel, reason_of
from kernel.grpc.server import Server
from kernel.grpc.streams import each
from kernel.ids import RandomIds
from kernel.metrics import Metrics
from kernel.settings import ServiceSettings

HERE = Path(__file__).parent
INCLUDES = [f"--proto_path={HERE.parents[2] / 'proto'}", f"--proto_path={files('grpc_tools') / '_proto'}"]
NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
ISSUER = "https://issuer.example"
AUDIENCE = "holdspace"
PAGE_KEY = "signs the page tokens of the tests"


def generated() -> Sequence[ModuleType]:
    """Returns diary_pb2 and diary_pb2_grpc, generated anew for this run."""
    with tempfile.TemporaryDirectory(prefix="diary-") as folder:
        outputs = [f"--python_out={folder}", f"--grpc_python_out={folder}"]
        assert protoc.main(["protoc", f"--proto_path={HERE}", *INCLUDES, *outputs, "diary.proto"]) == 0
        sys.path.insert(0, folder)
        try:
            return importlib.import_module("diary_pb2"), importlib.import_module("diary_pb2_grpc")
        finally:
            sys.path.remove(folder)


diary_pb2, diary_pb2_grpc = generated()
SERVICE = diary_pb2.DESCRIPTOR.services_by_name["DiaryService"]


def declared(body: str, folder: Path) -> FileDescriptor:
    """Returns a file with the given declarations, in a package of its own."""
    name = f"declared_{uuid.uuid4().hex}"
    head = f'syntax = "proto3"; package {name}; import "holdspace/kernel/v1/options.proto";'
    (folder / f"{name}.proto").write_text(head + body)
    output = folder / "set"
    assert (
        protoc.main(["protoc", f"--proto_path={folder}", *INCLUDES, f"--descriptor_set_out={output}", f"{name}.proto"])
        == 0
    )
    descriptor_pool.Default().AddSerializedFile(
        descriptor_pb2.FileDescriptorSet.FromString(output.read_bytes()).file[0].SerializeToString()
    )
    return descriptor_pool.Default().FindFileByName(f"{name}.proto")


class Issuer:
    """Signs tokens with one key, whose public half its JWKS has."""

    def __init__(self, key_id: str = "k1") -> None:
        self.key = Ed25519PrivateKey.generate()
        self.key_id = key_id

    @property
    def jwk(self) -> dict[str, Any]:
        return {**jwt.algorithms.OKPAlgorithm.to_jwk(self.key.public_key(), as_dict=True), "kid": self.key_id}

    def jwks(self, *others: "Issuer") -> str:
        return json.dumps({"keys": [self.jwk, *(other.jwk for other in others)]})

    def token(self, subject: str = "web", scope: str = "", kind: str = "service", **changes: object) -> str:
        headers = {"kid": self.key_id, **changes.pop("headers", {})}
        claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": subject, "kind": kind, "scope": scope}
        claims |= {"iat": NOW.timestamp(), "exp": (NOW + timedelta(hours=1)).timestamp()} | changes
        kept = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode(kept, self.key, algorithm="EdDSA", headers=headers)


def settings(jwks: Path | str, **changes: object) -> ServiceSettings:
    needed = {
        "database_url": "postgresql://localhost/none",
        "kafka": "localhost:9092",
        "cell": "a",
        "grpc_port": 0,
        "metrics_port": 0,
        "jwks": str(jwks),
        "issuer": ISSUER,
        "audience": AUDIENCE,
        "page_token_key": PAGE_KEY,
        "drain_seconds": 1,
    }
    return ServiceSettings(**needed | changes)


class Diary(diary_pb2_grpc.DiaryServiceServicer):
    """Keeps the calls it was given. It can be made to fail, or to take its time."""

    def __init__(self) -> None:
        self.calls: list[CallContext] = []
        self.raising: Exception | None = None
        self.takes_seconds = 0.0
        self.called = asyncio.Event()

    async def Write(self, request: Message, _: object) -> Message:  # noqa: N802 - gRPC's name
        self.calls.append(current_call())
        self.called.set()
        if self.raising:
            raise self.raising
        await asyncio.sleep(self.takes_seconds)
        return diary_pb2.WriteResponse(text=request.text)

    async def WriteMany(self, request: Message, _: object) -> Message:  # noqa: N802 - gRPC's name
        self.calls.append(current_call())
        return diary_pb2.WriteResponse(text=str(len(request.entries)))

    async def WriteStream(self, requests: AsyncIterator[Message], _: object) -> AsyncIterator[Message]:  # noqa: N802 - gRPC's name
        async for checked in each(requests):
            self.calls.append(checked.call)
            request = checked.request
            if checked.rejected:
                answer = checked.call.answer_to(checked.rejected)
                code = answer.code.value[0]
                yield diary_pb2.Written(
                    request_id=request.request_id, code=code, reason=answer.reason, field=answer.field
                )
            else:
                yield diary_pb2.Written(request_id=request.request_id, text=request.text)

    async def WriteAll(self, requests: AsyncIterator[Message], _: object) -> Message:  # noqa: N802 - gRPC's name
        return diary_pb2.WriteResponse(text="".join([request.text async for request in requests]))

    async def Follow(self, request: Message, _: object) -> AsyncIterator[Message]:  # noqa: N802 - gRPC's name
        self.calls.append(current_call())
        for number in range(request.count):
            yield diary_pb2.WriteResponse(text=str(number))
        if self.raising:
            raise self.raising


class Serving:
    """A running server with its service, and everything that it was made from."""

    def __init__(self, folder: Path, **changes: object) -> None:
        self.issuer = Issuer()
        self.diary = Diary()
        self.clock = ManualClock(NOW)
        self.metrics = Metrics(CollectorRegistry())
        self.reached = 0
        (folder / "jwks.json").write_text(self.issuer.jwks())
        self.server = Server(
            [(diary_pb2_grpc.add_DiaryServiceServicer_to_server, self.diary)],
            settings(folder / "jwks.json", **changes),
            self.metrics,
            clock=self.clock,
            ids=RandomIds(),
            reach_store=self.reach,
        )
        self.target = ""

    async def reach(self) -> None:
        self.reached += 1

    @asynccontextmanager
    async def calling(
        self, token: str | None = None, scope: str = "diary.write diary.read act_for"
    ) -> AsyncIterator[Any]:
        """Yields a stub whose calls carry the token; by default one of a service with all rights."""
        async with channel(self.target, token or self.issuer.token(scope=scope)) as connected:
            yield diary_pb2_grpc.DiaryServiceStub(connected)

    def count(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, labels) or 0.0


@asynccontextmanager
async def serving(folder: Path, **changes: object) -> AsyncIterator[Serving]:
    it = Serving(folder, **changes)
    it.target = f"127.0.0.1:{await it.server.start()}"
    try:
        yield it
    finally:
        await it.server.stop()


class Refusal:
    status: grpc.StatusCode
    reason: str
    field: str
    error: grpc.aio.AioRpcError


@asynccontextmanager
async def refused() -> AsyncIterator[Refusal]:
    """Expects the block to be refused, and tells how."""
    refusal = Refusal()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        yield refusal
    refusal.error = caught.value
    refusal.status = caught.value.code()
    refusal.reason, refusal.field = reason_of(caught.value)


def write(**changes: object) -> Message:
    return diary_pb2.WriteRequest(**{"request_id": "r1", "author_id": "ann", "text": "hello"} | changes)


def rejection(call: Callable[..., object], *arguments: object) -> tuple[str, str]:
    """Returns the reason and field the call is rejected with; empty when it isn't."""
    try:
        call(*arguments)
    except Rejected as rejected:
        return rejected.reason, rejected.field
    return "", ""
