"""What is withheld from a side is in nothing that it reads: no list, no count, no time."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from holdspace.messaging.v1.events_pb2 import RolesTurned
from holdspace.messaging.v1.service_pb2 import (
    Conversation,
    GetConversationRequest,
    GetMessageRequest,
    ListConversationsRequest,
    ListMessagesRequest,
)
from kernel.errors import Rejected
from kernel.grpc.paging import Pages
from kernel.grpc.reads import Reads
from services.messaging.api import MessagingApi
from services.messaging.domain.conversation import conversation_id
from services.messaging.messages import Messages
from tests.integration.messaging_world import SECOND, TYPES, MessagingWorld, messaging_world

NO_SENDING: Any = None


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[MessagingWorld]:
    async with messaging_world(database_url) as made:
        await made.enrol("t", "t2")
        yield made


@pytest.fixture
def api(world: MessagingWorld) -> Any:
    messages, reads = Messages(world.queries, TYPES), Reads("messaging/test/1", world.queries)
    return MessagingApi(NO_SENDING, NO_SENDING, messages, world.queries, reads, Pages(b"key"), world.store)


@pytest.fixture
async def suspended(world: MessagingWorld) -> None:
    """The client wrote twice and was answered; then they were suspended, wrote twice more, and to another therapist."""
    await world.send("c", "t", 2)
    await world.send("c", "t", by_client=False)
    world.clock.advance(SECOND)
    decided_at = world.clock.now()
    await world.send("c", "t", 2)
    await world.send("c", "t2")
    await world.run(world.suspension("c", 1, decided_at))
    await world.react()


async def conversation(api: Any, person: str) -> Conversation:
    asked = GetConversationRequest(conversation_id=conversation_id("c", "t"), participant_id=person)
    found: Conversation = (await api.GetConversation(asked, None)).conversation
    return found


async def listed(api: Any, person: str) -> list[Conversation]:
    return list((await api.ListConversations(ListConversationsRequest(participant_id=person), None)).conversations)


async def messages(api: Any, person: str, page_size: int = 50) -> list[tuple[int, bool]]:
    asked = ListMessagesRequest(conversation_id=conversation_id("c", "t"), participant_id=person, page_size=page_size)
    found: list[tuple[int, bool]] = []
    while True:
        told = await api.ListMessages(asked, None)
        found += [(message.sequence, message.withheld) for message in told.messages]
        if not told.next_page_token:
            return found
        asked.page_token = told.next_page_token


@pytest.mark.rule("MO5")
@pytest.mark.usefixtures("suspended")
@pytest.mark.parametrize("page_size", [1, 2, 50])
async def test_withheld_messages_are_listed_to_their_sender_alone(api: Any, page_size: int) -> None:
    seen = [(1, False), (2, False), (3, False)]
    assert await messages(api, "t", page_size) == seen
    assert await messages(api, "c", page_size) == [*seen, (4, True), (5, True)]
    asked = GetMessageRequest(conversation_id=conversation_id("c", "t"), participant_id="t", sequence=4)
    with pytest.raises(Rejected) as caught:
        await api.GetMessage(asked, None)
    assert (caught.value.reason, caught.value.field) == ("NOT_FOUND", "sequence")
    asked.participant_id = "c"
    assert (await api.GetMessage(asked, None)).body == b"sealed"


@pytest.mark.rule("MO5")
@pytest.mark.usefixtures("suspended")
async def test_withheld_messages_count_and_date_nothing_for_the_other_side(world: MessagingWorld, api: Any) -> None:
    theirs, own = await conversation(api, "t"), await conversation(api, "c")
    assert (theirs.message_count, own.message_count) == (3, 5)
    answered, last = [
        await world.queries.rows("facts_after", f"conversation-{own.conversation_id}", n, 1) for n in (3, 5)
    ]
    times = [envelope.occurred_at for rows in (answered, last) for envelope, _ in TYPES.open_all([rows[0]["fact"]])]
    assert [theirs.last_message_at, own.last_message_at] == times
    assert await listed(api, "t") == [theirs]
    assert own in await listed(api, "c")


@pytest.mark.rule("MO5")
@pytest.mark.usefixtures("suspended")
async def test_what_is_withheld_stays_so_when_the_roles_of_the_two_are_turned(world: MessagingWorld, api: Any) -> None:
    name = conversation_id("c", "t")
    turned = RolesTurned(conversation_id=name, client_id="t", therapist_id="c", turn=1)
    version = (await world.store.read_stream(f"conversation-{name}"))[-1].version + 1
    await world.record([(f"conversation-{name}", version, world.clock.now(), turned)])
    await world.project()
    assert [sequence for sequence, _ in await messages(api, "t")] == [1, 2, 3]
    assert [sequence for sequence, _ in await messages(api, "c")] == [1, 2, 3, 4, 5]
    assert ((await conversation(api, "t")).message_count, (await conversation(api, "c")).message_count) == (3, 5)
    await world.run(world.reinstatement("c", 2, world.clock.now()))
    await world.react()
    assert [sequence for sequence, _ in await messages(api, "t")] == [1, 2, 3, 4, 5]


@pytest.mark.rule("MO5")
@pytest.mark.usefixtures("suspended")
async def test_a_conversation_that_is_withheld_whole_is_not_there_for_the_other_side(
    world: MessagingWorld, api: Any
) -> None:
    asked = GetConversationRequest(conversation_id=conversation_id("c", "t2"), participant_id="t2")
    with pytest.raises(Rejected) as caught:
        await api.GetConversation(asked, None)
    assert (caught.value.reason, caught.value.field) == ("NOT_FOUND", "conversation_id")
    assert await listed(api, "t2") == []
    assert len(await listed(api, "c")) == 2
    await world.run(world.reinstatement("c", 2, world.clock.now()))
    await world.react()
    assert (await api.GetConversation(asked, None)).conversation.message_count == 1
    assert await messages(api, "t") == [(n, False) for n in range(1, 6)]
