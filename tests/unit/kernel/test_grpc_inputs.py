"""What a request may look like, as its fields declare it."""

from pathlib import Path

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from kernel.grpc.access import check_declared
from kernel.grpc.errors import Reasons, WrongDeclaration
from kernel.grpc.inputs import Inputs
from tests.unit.kernel.diary import SERVICE, declared, diary_pb2, rejection

AT = Timestamp(seconds=1_772_442_000)


def entry(**changes: object) -> Message:
    return diary_pb2.Entry(**{"author_id": "ann", "mood": "MOOD_CALM", "at": AT, "number": 1, "weight": 0} | changes)


def many(*entries: Message, **changes: object) -> Message:
    return diary_pb2.WriteManyRequest(**{"request_id": "r1", "entries": entries or [entry()]} | changes)


def fault(request: Message) -> tuple[str, str]:
    return rejection(Inputs().check(request.DESCRIPTOR), request)


def test_a_well_formed_request_passes() -> None:
    full = entry(answers_id="e1", reader_ids=["bob", "cid"], replies=[entry(replies=[entry()])], picture=b"1234")
    assert fault(many(full, summary=entry(), drafts={"x": entry()}, room_id="r", took=Duration(seconds=3))) == ("", "")


@pytest.mark.parametrize(
    ("request_", "reason", "field"),
    [
        (many(request_id=""), "FIELD_MISSING", "request_id"),
        (many(request_id="a" * 65), "FIELD_MALFORMED", "request_id"),
        (many(request_id="a\n"), "FIELD_MALFORMED", "request_id"),
        (diary_pb2.WriteManyRequest(request_id="r1"), "FIELD_MISSING", "entries"),
        (many(*[entry()] * 11), "FIELD_TOO_LARGE", "entries"),
        (many(entry(), entry(author_id="no id")), "FIELD_MALFORMED", "entries[1].author_id"),
        (many(entry(author_id="")), "FIELD_MISSING", "entries[0].author_id"),
        (many(entry(answers_id="?")), "FIELD_MALFORMED", "entries[0].answers_id"),
        (many(entry(mood="MOOD_UNSPECIFIED")), "FIELD_MISSING", "entries[0].mood"),
        (many(entry(mood=7)), "FIELD_MALFORMED", "entries[0].mood"),
        (many(entry(at=None)), "FIELD_MISSING", "entries[0].at"),
        (many(entry(at=Timestamp(nanos=-1))), "FIELD_MALFORMED", "entries[0].at"),
        (many(entry(at=Timestamp(seconds=2**60))), "FIELD_MALFORMED", "entries[0].at"),
        (many(entry(reader_ids=["bob", ""])), "FIELD_MISSING", "entries[0].reader_ids[1]"),
        (many(entry(reader_ids=["a", "b", "c", "d"])), "FIELD_TOO_LARGE", "entries[0].reader_ids"),
        (many(entry(picture=b"12345")), "FIELD_TOO_LARGE", "entries[0].picture"),
        (many(entry(number=0)), "FIELD_MISSING", "entries[0].number"),
        (many(entry(weight=None)), "FIELD_MISSING", "entries[0].weight"),
        (many(entry(replies=[entry(), entry(mood=7)])), "FIELD_MALFORMED", "entries[0].replies[1].mood"),
        (many(summary=entry(author_id="")), "FIELD_MISSING", "summary.author_id"),
        (many(drafts={"x": entry(author_id="")}), "FIELD_MISSING", "drafts[x].author_id"),
        (many(room_id="no room"), "FIELD_MALFORMED", "room_id"),
        (many(street="too long"), "FIELD_TOO_LARGE", "street"),
        (many(took=Duration(seconds=1, nanos=-1)), "FIELD_MALFORMED", "took"),
        (diary_pb2.ListRequest(author_id="ann", mood=7), "FIELD_MALFORMED", "mood"),
        (diary_pb2.ListRequest(author_id="ann", moods=[1, 0]), "FIELD_MISSING", "moods[1]"),
        (diary_pb2.ListRequest(author_id="ann", moods=[7]), "FIELD_MALFORMED", "moods[0]"),
    ],
)
def test_a_malformed_request_is_refused_at_the_path_of_its_field(request_: Message, reason: str, field: str) -> None:
    assert fault(request_) == (reason, field)


def test_every_method_declares_its_right_and_whom_it_acts_for() -> None:
    methods = check_declared([SERVICE])
    write = methods["/holdspace.diary.v1.DiaryService/Write"]
    assert (write.right, write.acts_for, write.is_mutation) == ("diary.write", ("author_id",), True)
    assert not methods["/holdspace.diary.v1.DiaryService/List"].is_mutation


def test_undeclared_methods_are_all_named_at_once(tmp_path: Path) -> None:
    file = declared(
        """
        service Service {
          rpc Free(Empty) returns (Empty);
          rpc AlsoFree(Empty) returns (Empty) { option (holdspace.kernel.v1.access) = {acts_for: ""}; }
          rpc Named(NamedRequest) returns (Empty) {
            option (holdspace.kernel.v1.access) = {right: "r" acts_for: "name"};
          }
          rpc Lost(Empty) returns (Empty) { option (holdspace.kernel.v1.access) = {right: "r" acts_for: "gone.name"}; }
          rpc Once(OnceRequest) returns (Empty) { option (holdspace.kernel.v1.access) = {right: "r"}; }
          rpc Listed(ListedRequest) returns (Empty) { option (holdspace.kernel.v1.access) = {right: "r"}; }
          rpc Strange(Odd) returns (Empty) { option (holdspace.kernel.v1.access) = {right: "r"}; }
        }
        message Empty {}
        message NamedRequest { string name = 1; }
        message OnceRequest { string request_id = 1 [(holdspace.kernel.v1.input) = {id: true optional: true}]; }
        message ListedRequest { int32 page_size = 1; }
        message Odd {
          int32 a = 1 [(holdspace.kernel.v1.input) = {id: true}];
          string b = 2 [(holdspace.kernel.v1.input) = {optional: true}];
          int32 c = 3 [(holdspace.kernel.v1.input) = {size_max: 3}];
          bool d = 4 [(holdspace.kernel.v1.input) = {required: true}];
          oneof one { string e = 5 [(holdspace.kernel.v1.input) = {required: true}]; string f = 6; }
        }
        """,
        tmp_path,
    )
    with pytest.raises(WrongDeclaration) as wrong:
        check_declared(file.services_by_name.values())
    found = [line.removeprefix(f"{file.package}.") for line in str(wrong.value).splitlines()]
    assert found == [
        "Service.Free: declares no right",
        "Service.AlsoFree: declares no right",
        "Service.Named: acts_for must lead to a required id, through lists and required messages: name",
        "Service.Lost: acts_for must lead to a required id, through lists and required messages: gone.name",
        "Service.Once: request_id must be a required id",
        "Service.Listed: a list has page_size, page_token and next_page_token",
        "Odd.a: only a string can be an id",
        "Odd.b: only an id is marked optional",
        "Odd.c: only a string, bytes or a list has a size_max",
        "Odd.d: false without presence cannot be told from missing",
        "Odd.e: one of several alternatives cannot be required",
    ]


def test_a_reason_has_one_status(tmp_path: Path) -> None:
    file = declared(
        """
        service Service {}
        enum Reason {
          REASON_UNSPECIFIED = 0;
          REASON_BARE = 1;
          REASON_NOT_FOUND = 2 [(holdspace.kernel.v1.status) = STATUS_ABORTED];
        }
        """,
        tmp_path,
    )
    with pytest.raises(WrongDeclaration) as wrong:
        Reasons(file.services_by_name.values())
    assert [line.split(": ")[1] for line in str(wrong.value).splitlines()] == [
        "REASON_BARE has no status",
        "REASON_NOT_FOUND has another status elsewhere",
    ]
