"""Messaging as its callers meet it: one process of the service, called over gRPC."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from holdspace.messaging.v1.events_pb2 import (
    EXPECTATION_NONE,
    EXPECTATION_REPLY,
    MESSAGE_KIND_TEXT,
    SIDE_CLIENT,
    SIDE_THERAPIST,
)
from holdspace.messaging.v1.service_pb2 import (
    GetConversationRequest,
    GetMessageRequest,
    ImportLine,
    ImportMessagesRequest,
    ListConversationsRequest,
    ListMessagesRequest,
    SendManyRequest,
    SendMessageRequest,
    SendMessageResponse,
    SendStreamRequest,
    TurnRolesRequest,
)
from holdspace.messaging.v1.service_pb2_grpc import MessagingServiceStub
from infra.local.servers import Servers
from kernel.grpc.client import channel, reason_of
from services.messaging.domain.conversation import conversation_id
from tests.calls import count_facts, fresh, refused
from tests.running import ServiceProcess

RIGHTS = ("messaging.send", "messaging.read", "messaging.import")


@pytest.fixture(scope="module")
def messaging(
    servers: Servers, module_database_url: str, credentials: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServiceProcess]:
    folder = tmp_path_factory.mktemp("messaging")
    process = ServiceProcess("messaging", servers, module_database_url, credentials, folder)
    yield process.start()
    assert process.stop() == 0, process.log.read_text()[-2000:]


@pytest.fixture
async def stub(messaging: ServiceProcess) -> AsyncIterator[Any]:
    async with messaging.channel(*RIGHTS) as open_channel:
        yield MessagingServiceStub(open_channel)


@pytest.fixture
async def pair(stub: Any) -> tuple[str, str]:
    """A client and a therapist who wrote to each other long ago."""
    client, therapist = (f"{role}-{secrets.token_hex(4)}" for role in ("client", "therapist"))
    line = ImportLine(
        line=1, sender_id=client, recipient_id=therapist, sent_at={"seconds": 1_700_000_000}, sender=SIDE_CLIENT
    )
    told = await stub.ImportMessages(
        ImportMessagesRequest(request_id=fresh(), source=client, operator_id="operator", lines=[line])
    )
    assert told.imported == 1
    return client, therapist


def message(pair: tuple[str, str], **more: Any) -> SendMessageRequest:
    client, therapist = pair
    fields = {"request_id": fresh(), "sender_id": client, "body": b"sealed", "expects": EXPECTATION_REPLY,
              "kind": MESSAGE_KIND_TEXT, "client_id": client, "therapist_id": therapist, **more}  # fmt: skip
    return SendMessageRequest(**fields)


async def test_a_message_is_read_back_by_both_sides_with_its_body(stub: Any, pair: tuple[str, str]) -> None:
    client, therapist = pair
    sent = await stub.SendMessage(message(pair, body=b"\x00sealed\xff"))
    answer = await stub.SendMessage(message(pair, sender_id=therapist, expects=EXPECTATION_NONE, automatic=True))
    assert (sent.sequence, answer.sequence) == (2, 3)

    for reader in pair:
        listed = await stub.ListMessages(
            ListMessagesRequest(conversation_id=sent.conversation_id, participant_id=reader, at_least=answer.revision)
        )
        assert [m.sequence for m in listed.messages] == [1, 2, 3]
        assert (listed.messages[2].sender, listed.messages[2].automatic) == (SIDE_THERAPIST, True)
        whole = await stub.GetMessage(
            GetMessageRequest(conversation_id=sent.conversation_id, participant_id=reader, sequence=2)
        )
        assert whole.body == b"\x00sealed\xff"
        assert whole.message.body_size == 8


@pytest.mark.rule("MS5.b", "MS5.c", "PL4")
async def test_a_message_sent_again_with_its_request_id_is_one_message_with_one_answer(
    stub: Any, pair: tuple[str, str]
) -> None:
    asked = message(pair)
    answers = await asyncio.gather(*(stub.SendMessage(asked) for _ in range(20)))
    assert len({answer.SerializeToString() for answer in answers}) == 1
    await stub.SendMessage(message(pair))
    assert await stub.SendMessage(asked) == answers[0]
    asked.body = b"something else"
    assert await refused(stub.SendMessage(asked)) == ("INVALID_ARGUMENT", "REQUEST_REUSED", "request_id")


@pytest.mark.rule("MS5", "PL4")
async def test_one_request_by_the_person_and_by_two_services_is_one_message(
    messaging: ServiceProcess, stub: Any, pair: tuple[str, str]
) -> None:
    client, _ = pair
    asked = message(pair)
    async with (
        messaging.channel(*RIGHTS, subject="mobile") as mobile,
        messaging.channel(*RIGHTS, subject=client, kind="person") as own,
    ):
        through = [stub, MessagingServiceStub(mobile), MessagingServiceStub(own)]
        answers = await asyncio.gather(*(each.SendMessage(asked) for each in through))
        assert len({answer.SerializeToString() for answer in answers}) == 1
        many = await through[1].SendMany(SendManyRequest(request_id=fresh(), messages=[asked]))
        assert many.results[0].sent.sequence == answers[0].sequence
        told = await stub.SendMessage(message(pair))
        assert told.sequence == answers[0].sequence + 1
        asked.body = b"something else"
        for each in through:
            assert await refused(each.SendMessage(asked)) == ("INVALID_ARGUMENT", "REQUEST_REUSED", "request_id")


@pytest.mark.rule("MS5")
async def test_of_fifty_messages_with_one_request_id_at_once_one_is_sent_and_the_others_are_told_why(
    stub: Any, pair: tuple[str, str]
) -> None:
    request_id = fresh()
    told = await asyncio.gather(
        *(stub.SendMessage(message(pair, request_id=request_id, body=b"%d" % n)) for n in range(50)),
        return_exceptions=True,
    )
    lost = [(error.code().name, *reason_of(error)) for error in told if isinstance(error, grpc.aio.AioRpcError)]
    assert lost == [("INVALID_ARGUMENT", "REQUEST_REUSED", "request_id")] * 49
    [won] = [each for each in told if isinstance(each, SendMessageResponse)]
    assert (won.sequence, (await stub.SendMessage(message(pair))).sequence) == (2, 3)


async def test_a_request_id_of_one_person_is_unknown_to_another(stub: Any, pair: tuple[str, str]) -> None:
    client, therapist = pair
    asked = message(pair)
    first = await stub.SendMessage(asked)
    asked.sender_id = therapist
    second = await stub.SendMessage(asked)
    assert second.sequence == first.sequence + 1


@pytest.mark.rule("MS5.a")
async def test_two_hundred_messages_at_once_are_numbered_without_gaps(stub: Any, pair: tuple[str, str]) -> None:
    answers = await asyncio.gather(*(stub.SendMessage(message(pair)) for _ in range(200)))
    assert sorted(answer.sequence for answer in answers) == list(range(2, 202))


async def test_many_messages_in_one_call_each_have_their_own_answer_in_order(stub: Any, pair: tuple[str, str]) -> None:
    client, therapist = pair
    messages = [message(pair), message(pair, therapist_id=client), message(pair, sender_id=therapist)]
    told = await stub.SendMany(SendManyRequest(request_id=fresh(), messages=messages))
    assert [result.request_id for result in told.results] == [m.request_id for m in messages]
    assert [result.sent.sequence for result in told.results] == [2, 0, 3]
    assert (told.results[1].error.reason, told.results[1].error.field) == ("PAIR_OF_ONE", "therapist_id")


async def test_a_stream_answers_every_message_by_its_id_and_survives_a_bad_one(
    stub: Any, pair: tuple[str, str]
) -> None:
    messages = [message(pair) for _ in range(50)]
    messages[20].body = b""

    async def requests() -> AsyncIterator[SendStreamRequest]:
        for each in messages:
            yield SendStreamRequest(message=each)

    answered = {told.request_id: told async for response in stub.SendStream(requests()) for told in response.results}
    assert answered.keys() == {m.request_id for m in messages}
    told = [answered[m.request_id] for m in messages]
    assert (told[20].error.reason, told[20].error.field) == ("FIELD_MISSING", "message.body")
    good = [result.sent.sequence for result in told if result.HasField("sent")]
    assert good == list(range(2, 51))  # in the order sent


async def test_lists_page_by_tokens_that_fit_only_their_own_list(stub: Any, pair: tuple[str, str]) -> None:
    client, therapist = pair
    last: SendMessageResponse = (await asyncio.gather(*(stub.SendMessage(message(pair)) for _ in range(6))))[-1]
    asked = ListMessagesRequest(
        conversation_id=last.conversation_id, participant_id=client, page_size=3, at_least=last.revision
    )
    seen: list[int] = []
    while True:
        listed = await stub.ListMessages(asked)
        seen += [m.sequence for m in listed.messages]
        if not listed.next_page_token:
            break
        asked.page_token = listed.next_page_token
    assert seen == sorted(set(seen))
    assert len(seen) >= 5
    asked.participant_id = therapist
    assert await refused(stub.ListMessages(asked)) == ("INVALID_ARGUMENT", "PAGE_TOKEN_INVALID", "page_token")


async def opened(stub: Any, client: str, therapists: list[str]) -> str:
    """Opens conversations of a client with therapists. Returns the revision that shows them."""
    lines = [
        ImportLine(
            line=n, sender_id=client, recipient_id=name, sent_at={"seconds": 1_600_000_000 + n}, sender=SIDE_CLIENT
        )
        for n, name in enumerate(therapists, 1)
    ]
    told = await stub.ImportMessages(
        ImportMessagesRequest(request_id=fresh(), source=fresh(), operator_id="operator", lines=lines)
    )
    assert told.imported == len(therapists)
    revision: str = told.revision
    return revision


async def test_conversations_are_listed_for_either_side_the_newest_first(stub: Any, pair: tuple[str, str]) -> None:
    client, therapist = pair
    for other in ("second", "third"):
        await opened(stub, client, [f"{therapist}-{other}"])
    await opened(stub, f"{client}-else", [therapist])
    sent = await stub.SendMessage(message(pair))
    found = {}
    for person in pair:
        listed = await stub.ListConversations(ListConversationsRequest(participant_id=person, at_least=sent.revision))
        found[person] = [(each.client_id, each.therapist_id) for each in listed.conversations]
    assert found[client] == [(client, f"{therapist}-third"), (client, f"{therapist}-second"), pair]
    assert found[therapist] == [(f"{client}-else", therapist), pair]
    assert listed.conversations[1].last_message_at == sent.accepted_at


async def test_no_conversation_is_skipped_or_listed_twice_while_messages_and_new_ones_come(
    stub: Any, pair: tuple[str, str]
) -> None:
    client, therapist = pair
    therapists = [f"{therapist}-{n}" for n in range(119)]
    asked = ListConversationsRequest(participant_id=client, at_least=await opened(stub, client, therapists))
    listed = await stub.ListConversations(asked)
    found = [each.therapist_id for each in listed.conversations]
    assert len(found) == 50
    while listed.next_page_token:
        unseen = [each for each in (therapist, *therapists) if each not in found]
        for written in (unseen[0], unseen[len(unseen) // 2], unseen[-1], found[-1]):
            sent = await stub.SendMessage(message((client, written)))
        await opened(stub, client, [f"{therapist}-{fresh()}"])
        asked.page_token, asked.at_least = listed.next_page_token, sent.revision
        listed = await stub.ListConversations(asked)
        found += [each.therapist_id for each in listed.conversations]
    assert sorted(found) == sorted([therapist, *therapists])


async def test_somebody_elses_conversation_answers_like_none_at_all(
    messaging: ServiceProcess, stub: Any, pair: tuple[str, str]
) -> None:
    known = conversation_id(*pair)
    told = [
        await refused(stub.GetConversation(GetConversationRequest(conversation_id=name, participant_id="stranger")))
        for name in (known, "unknown")
    ]
    assert told == [("NOT_FOUND", "NOT_FOUND", "conversation_id")] * 2
    async with messaging.channel(*RIGHTS, subject="stranger", kind="person") as theirs:
        asked = GetConversationRequest(conversation_id=known, participant_id=pair[0])
        assert await refused(MessagingServiceStub(theirs).GetConversation(asked)) == (
            "PERMISSION_DENIED",
            "PERSON_NOT_YOURS",
            "participant_id",
        )


@pytest.mark.rule("PL6")
async def test_importing_the_same_lines_again_changes_nothing(stub: Any) -> None:
    source, client = fresh(), f"client-{fresh()}"
    lines = [
        ImportLine(line=n + 1, sender_id=client, recipient_id=f"t-{n % 3}", sent_at={"seconds": 1_600_000_000 + n})
        for n in range(30)
    ]
    lines.append(ImportLine(line=31, sender_id=client, recipient_id="t-0", sent_at={"seconds": 1_500_000_000}))
    lines.append(ImportLine(line=32, sender_id=client, recipient_id=client, sent_at={"seconds": 1_700_000_000}))
    told = [
        await stub.ImportMessages(
            ImportMessagesRequest(request_id=fresh(), source=source, operator_id="operator", lines=lines)
        )
        for _ in range(2)
    ]
    assert [(t.imported, t.repeated_lines) for t in told] == [(30, 0), (0, 30)]
    assert [(r.line, r.reason) for r in told[0].rejected] == [(31, "LINE_OUT_OF_ORDER"), (32, "PAIR_OF_ONE")]


@pytest.mark.rule("PL6")
@pytest.mark.parametrize(("number", "reason"), [({"line": 0}, "FIELD_MALFORMED"), ({}, "FIELD_MISSING")])
async def test_a_line_without_a_number_is_refused_before_any_of_its_call_is_taken(
    stub: Any, module_database_url: str, number: dict[str, int], reason: str
) -> None:
    client = f"client-{fresh()}"
    first = ImportLine(**number, sender_id=client, recipient_id="t", sent_at={"seconds": 1_600_000_000})
    answer = ImportLine(line=1, sender_id="t", recipient_id=client, sent_at={"seconds": 1_600_000_001})
    before = await count_facts(module_database_url, "messaging")
    asked = ImportMessagesRequest(request_id=fresh(), source="old", operator_id="operator", lines=[answer, first])
    assert await refused(stub.ImportMessages(asked)) == ("INVALID_ARGUMENT", reason, "lines[1].line")
    assert await count_facts(module_database_url, "messaging") == before


@pytest.mark.rule("PL6", "PL10")
async def test_a_pair_that_is_live_gets_its_history_and_stays_where_it_was_in_the_list(
    stub: Any, pair: tuple[str, str]
) -> None:
    client, therapist = pair
    sent = await stub.SendMessage(message(pair))
    lines = [
        ImportLine(line=n, sender_id=client, recipient_id=therapist, sent_at={"seconds": 1_500_000_000 + n})
        for n in range(1, 4)
    ]
    asked = ImportMessagesRequest(request_id=fresh(), source=fresh(), operator_id="operator", lines=lines)
    told = await stub.ImportMessages(asked)
    assert (told.imported, len(told.rejected)) == (3, 0)
    seen = GetConversationRequest(conversation_id=sent.conversation_id, participant_id=client, at_least=told.revision)
    conversation = (await stub.GetConversation(seen)).conversation
    assert conversation.message_count == 5
    assert conversation.last_message_at == sent.accepted_at
    listed = await stub.ListMessages(
        ListMessagesRequest(conversation_id=sent.conversation_id, participant_id=client, at_least=told.revision)
    )
    assert [m.sent_at.seconds for m in listed.messages if m.sequence > 2] == [
        1_500_000_001,
        1_500_000_002,
        1_500_000_003,
    ]
    assert listed.messages[1].sent_at == sent.accepted_at
    assert (await stub.SendMessage(message(pair))).sequence == 6


@pytest.mark.rule("PL10")
async def test_the_roles_of_an_imported_conversation_are_turned_for_what_was_written_before_too(
    messaging: ServiceProcess, stub: Any, module_database_url: str
) -> None:
    source, one, other = fresh(), f"one-{fresh()}", f"other-{fresh()}"
    lines = [
        ImportLine(line=n, sender_id=who, recipient_id=whom, sent_at={"seconds": 1_500_000_000 + n})
        for n, (who, whom) in enumerate([(one, other), (other, one)], 1)
    ]
    asked = ImportMessagesRequest(request_id=fresh(), source=source, operator_id="operator", lines=lines)
    [guessed] = (await stub.ImportMessages(asked)).guessed
    assert (guessed.client_id, guessed.therapist_id) == (one, other)
    turn = TurnRolesRequest(
        request_id=fresh(), operator_id="ann", conversation_id=guessed.conversation_id, therapist_id=one, reason="why"
    )
    told = [await stub.TurnRoles(turn) for _ in range(2)]
    assert told[0] == told[1]
    assert (told[0].client_id, told[0].therapist_id) == (other, one)
    seen = ListMessagesRequest(conversation_id=guessed.conversation_id, participant_id=one, at_least=told[0].revision)
    assert [m.sender for m in (await stub.ListMessages(seen)).messages] == [SIDE_THERAPIST, SIDE_CLIENT]
    shown = GetConversationRequest(conversation_id=guessed.conversation_id, participant_id=one)
    conversation = (await stub.GetConversation(shown)).conversation
    assert (conversation.client_id, conversation.therapist_id) == (other, one)
    assert (await stub.ImportMessages(asked)).repeated_lines == 2
    turn.request_id, turn.conversation_id = fresh(), fresh()
    assert await refused(stub.TurnRoles(turn)) == ("NOT_FOUND", "NOT_FOUND", "conversation_id")


@pytest.mark.rule("PL6")
async def test_a_line_number_under_which_another_pair_was_imported_is_a_changed_line(stub: Any) -> None:
    source, client = fresh(), f"client-{fresh()}"
    told = []
    for therapist in ("t-1", "t-2", "t-1"):
        line = ImportLine(line=1, sender_id=client, recipient_id=therapist, sent_at={"seconds": 1_600_000_000})
        asked = ImportMessagesRequest(request_id=fresh(), source=source, operator_id="operator", lines=[line])
        told.append(await stub.ImportMessages(asked))
    assert [(t.imported, t.repeated_lines) for t in told] == [(1, 0), (0, 0), (0, 1)]
    assert [(r.line, r.reason, r.field) for r in told[1].rejected] == [(1, "LINE_CHANGED", "line")]


BAD = {
    "no request id": ({"request_id": ""}, "FIELD_MISSING", "request_id"),
    "a malformed request id": ({"request_id": "a b"}, "FIELD_MALFORMED", "request_id"),
    "an over-long id": ({"client_id": "c" * 65}, "FIELD_MALFORMED", "client_id"),
    "an id with a NUL": ({"client_id": "c\0"}, "FIELD_MALFORMED", "client_id"),
    "no body": ({"body": b""}, "FIELD_MISSING", "body"),
    "a body too large": ({"body": b"x" * 65_537}, "FIELD_TOO_LARGE", "body"),
    "no expectation": ({"expects": 0}, "FIELD_MISSING", "expects"),
    "an unknown expectation": ({"expects": 99}, "FIELD_MALFORMED", "expects"),
    "no kind": ({"kind": 0}, "FIELD_MISSING", "kind"),
    "a stranger as sender": ({"sender_id": "stranger"}, "SENDER_NOT_IN_PAIR", "sender_id"),
}


@pytest.mark.parametrize("bad", BAD)
async def test_a_bad_message_is_refused_with_its_field_and_appends_nothing(
    stub: Any, pair: tuple[str, str], module_database_url: str, bad: str
) -> None:
    fields, reason, field = BAD[bad]
    before = await count_facts(module_database_url, "messaging")
    assert await refused(stub.SendMessage(message(pair, **fields))) == ("INVALID_ARGUMENT", reason, field)
    assert await count_facts(module_database_url, "messaging") == before


@pytest.mark.rule("MS1")
async def test_a_second_conversation_for_a_pair_with_its_roles_swapped_is_refused(
    stub: Any, pair: tuple[str, str]
) -> None:
    client, therapist = pair
    swapped = message((therapist, client), sender_id=therapist)
    assert await refused(stub.SendMessage(swapped)) == ("ALREADY_EXISTS", "ROLES_SWAPPED", "client_id")


async def test_calls_without_deadline_token_or_right_are_refused(
    messaging: ServiceProcess, stub: Any, pair: tuple[str, str]
) -> None:
    asked = message(pair)
    assert await refused(stub.SendMessage(asked, timeout=None)) == ("INVALID_ARGUMENT", "DEADLINE_MISSING", "")
    assert await refused(stub.SendMessage(asked, metadata=())) == ("UNAUTHENTICATED", "TOKEN_MISSING", "")
    async with channel(messaging.target, "not.a.token") as wrong, messaging.channel("messaging.read") as lacking:
        assert await refused(MessagingServiceStub(wrong).SendMessage(asked)) == (
            "UNAUTHENTICATED",
            "TOKEN_INVALID",
            "",
        )
        assert await refused(MessagingServiceStub(lacking).SendMessage(asked)) == (
            "PERMISSION_DENIED",
            "RIGHT_MISSING",
            "",
        )


async def test_a_new_conversation_fails_closed_while_nothing_is_known_of_standing(stub: Any) -> None:
    stranger = (f"client-{fresh()}", f"therapist-{fresh()}")
    assert await refused(stub.SendMessage(message(stranger))) == ("UNAVAILABLE", "GATE_STALE", "")
