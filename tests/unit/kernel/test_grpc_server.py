"""Streams, and the server that answers: how it starts, how it stops, what it tells anyone."""

import asyncio
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from kernel.errors import Rejected, StoreUnavailable
from tests.unit.kernel.diary import Serving, diary_pb2, refused, serving, write

Code = grpc.StatusCode


async def test_a_stream_of_answers_ends_with_the_reason_it_broke_off(tmp_path: Path) -> None:
    async with serving(tmp_path) as it, it.calling() as stub:
        assert [answer.text async for answer in stub.Follow(diary_pb2.FollowRequest(count=3))] == ["0", "1", "2"]
        it.diary.raising = Rejected("DIARY_CLOSED")
        got = []
        async with refused() as refusal:
            async for answer in stub.Follow(diary_pb2.FollowRequest(count=1)):
                got.append(answer.text)  # noqa: PERF401 - what came before it broke off counts
        assert (got, refusal.reason) == (["0"], "DIARY_CLOSED")


async def test_a_refused_command_of_a_stream_leaves_the_others_alone(tmp_path: Path) -> None:
    sent = [write(), write(request_id="r2", author_id="bob"), write(request_id="r3", text=""), write(request_id="r4")]
    async with serving(tmp_path) as it, it.calling(it.issuer.token("ann", "diary.write", "person")) as stub:
        answers = [(a.request_id, a.text, a.reason, a.field) async for a in stub.WriteStream(iter(sent))]
        assert answers == [
            ("r1", "hello", "", ""),
            ("r2", "", "PERSON_NOT_YOURS", "author_id"),
            ("r3", "", "FIELD_MISSING", "text"),
            ("r4", "hello", "", ""),
        ]
        assert [(call.person, call.request_id) for call in it.diary.calls][::3] == [("ann", "r1"), ("ann", "r4")]
        labels = {"service": "holdspace.diary.v1.DiaryService", "method": "WriteStream"}
        refusals = {"code": "PERMISSION_DENIED", "reason": "PERSON_NOT_YOURS"}
        assert it.count("holdspace_grpc_stream_refusals_total", **labels, **refusals) == 1
        assert it.count("holdspace_grpc_calls_total", **labels, code="OK", reason="") == 1


async def test_a_handler_that_asks_for_nothing_else_gets_only_requests_that_may_pass(tmp_path: Path) -> None:
    async with serving(tmp_path) as it, it.calling(it.issuer.token("ann", "diary.write", "person")) as stub:
        assert (await stub.WriteAll(iter([write(text="a"), write(text="b")]))).text == "ab"
        async with refused() as refusal:
            await stub.WriteAll(iter([write(text="a"), write(author_id="bob")]))
        assert (refusal.reason, refusal.field) == ("PERSON_NOT_YOURS", "author_id")


async def test_a_refused_stream_ends_for_those_who_write_nothing(tmp_path: Path) -> None:
    async with serving(tmp_path) as it, it.calling(it.issuer.token("ann", "diary.read", "person")) as stub:
        silent = stub.WriteStream(timeout=60)
        assert await silent.code() is Code.PERMISSION_DENIED


async def test_a_stopping_server_ends_open_streams_long_before_its_patience_does(tmp_path: Path) -> None:
    async with serving(tmp_path, drain_seconds=20) as it, it.calling() as stub:
        stream = stub.WriteStream(timeout=60)
        await stream.write(write())
        assert (await stream.read()).text == "hello"
        began = asyncio.get_running_loop().time()
        await it.server.stop()
        async with refused() as refusal:
            await stream.read()
        assert (refusal.status, refusal.reason) == (Code.UNAVAILABLE, "DRAINING")
        assert asyncio.get_running_loop().time() - began < 5
        assert it.count("holdspace_ready") == 0


async def test_health_answers_anyone_and_says_when_the_server_stops(tmp_path: Path) -> None:
    async with serving(tmp_path) as it, grpc.aio.insecure_channel(it.target) as plain:
        stub = health_pb2_grpc.HealthStub(plain)
        for service in ("", "holdspace.diary.v1.DiaryService"):
            answer = await stub.Check(health_pb2.HealthCheckRequest(service=service))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        assert it.count("holdspace_ready") == 1
        watch = stub.Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        stopped = asyncio.create_task(it.server.stop())
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        watch.cancel()
        await stopped


async def test_a_server_whose_store_was_never_reached_does_not_listen(tmp_path: Path) -> None:
    it = Serving(tmp_path)

    async def away() -> None:
        raise StoreUnavailable

    it.server._reach_store = away
    with pytest.raises(StoreUnavailable):
        await it.server.start()
    assert it.count("holdspace_ready") == 0


async def test_reflection_is_off_unless_asked_for(tmp_path: Path) -> None:
    path = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
    for on, status in ((False, Code.UNIMPLEMENTED), (True, Code.OK)):
        async with serving(tmp_path, grpc_reflection=on) as it, grpc.aio.insecure_channel(it.target) as plain:
            call = plain.stream_stream(path)()
            await call.done_writing()
            assert await call.code() is status


async def test_connections_reach_their_age_unnoticed_by_calls(tmp_path: Path) -> None:
    async with serving(tmp_path, connection_age_seconds_max=0.1) as it, it.calling() as stub:
        for _ in range(300):
            assert (await stub.Write(write())).text == "hello"


async def test_two_servers_never_share_a_port(tmp_path: Path) -> None:
    async with serving(tmp_path) as it:
        other = Serving(tmp_path, grpc_port=int(it.target.split(":")[1]))
        with pytest.raises(RuntimeError, match="bind"):
            await other.server.start()
