"""Calls of messaging's API to commands and queries."""

from collections.abc import AsyncIterator
from typing import Any

import grpc

from holdspace.messaging.v1 import service_pb2_grpc
from holdspace.messaging.v1.events_pb2 import SIDE_CLIENT, SIDE_THERAPIST
from holdspace.messaging.v1.service_pb2 import (
    STAGE_ENQUIRY,
    Conversation,
    GetConversationRequest,
    GetConversationResponse,
    GetMessageRequest,
    GetMessageResponse,
    ImportMessagesRequest,
    ImportMessagesResponse,
    ListConversationsRequest,
    ListConversationsResponse,
    ListMessagesRequest,
    ListMessagesResponse,
    Message,
    SendManyRequest,
    SendManyResponse,
    SendMessageRequest,
    SendMessageResponse,
    SendStreamRequest,
    SendStreamResponse,
    TurnRolesRequest,
    TurnRolesResponse,
)
from kernel.errors import Rejected
from kernel.facts import timestamp
from kernel.grpc.call import current_call
from kernel.grpc.paging import NUMBER_MAX, Pages
from kernel.grpc.reads import Reads
from kernel.queries import Queries
from kernel.store.interface import EventStore
from services.messaging.importing import Importing
from services.messaging.messages import Messages, StoredMessage, withheld_from
from services.messaging.sending import Sending

Context = grpc.aio.ServicerContext[Any, Any]


class MessagingApi(service_pb2_grpc.MessagingServiceServicer):
    def __init__(
        self,
        sending: Sending,
        importing: Importing,
        messages: Messages,
        queries: Queries,
        reads: Reads,
        pages: Pages,
        store: EventStore,
    ) -> None:
        self._sending = sending
        self._importing = importing
        self._messages = messages
        self._queries = queries
        self._pages = pages
        self._reads = reads
        self._store = store

    async def SendMessage(self, request: SendMessageRequest, context: Context) -> SendMessageResponse:
        return await self._sending.one(request, current_call())

    async def SendMany(self, request: SendManyRequest, context: Context) -> SendManyResponse:
        return await self._sending.many(request, current_call())

    def SendStream(
        self, request_iterator: AsyncIterator[SendStreamRequest], context: Context
    ) -> AsyncIterator[SendStreamResponse]:
        return self._sending.stream(request_iterator)

    async def ImportMessages(self, request: ImportMessagesRequest, context: Context) -> ImportMessagesResponse:
        return await self._importing.lines(request, current_call())

    async def TurnRoles(self, request: TurnRolesRequest, context: Context) -> TurnRolesResponse:
        return await self._importing.turn_roles(request, current_call())

    async def GetConversation(self, request: GetConversationRequest, context: Context) -> GetConversationResponse:
        await self._reads.wait(request.at_least)
        row = await self._conversation(request.conversation_id, request.participant_id)
        return GetConversationResponse(conversation=await self._seen_by(request.participant_id, row))

    async def ListConversations(self, request: ListConversationsRequest, context: Context) -> ListConversationsResponse:
        asked = self._pages.of(request, int)
        [before] = asked.after or (NUMBER_MAX,)
        await self._reads.wait(request.at_least)
        rows = await self._queries.rows("conversations", request.participant_id, before, asked.size + 1)
        shown = rows[: asked.size]
        more = len(rows) > asked.size
        return ListConversationsResponse(
            conversations=[await self._seen_by(request.participant_id, row) for row in shown],
            next_page_token=asked.next(shown[-1]["position"]) if more else "",
        )

    async def ListMessages(self, request: ListMessagesRequest, context: Context) -> ListMessagesResponse:
        asked = self._pages.of(request, int)
        (after,) = asked.after or (0,)
        await self._reads.wait(request.at_least)
        conversation = await self._conversation(request.conversation_id, request.participant_id)
        side = side_of(conversation, request.participant_id)
        found = await self._messages.page(conversation, side, after, asked.size + 1)
        shown = found[: asked.size]
        return ListMessagesResponse(
            messages=[message_of(message) for message in shown],
            next_page_token=asked.next(shown[-1].sent.sequence) if len(found) > asked.size else "",
        )

    async def GetMessage(self, request: GetMessageRequest, context: Context) -> GetMessageResponse:
        await self._reads.wait(request.at_least)
        conversation = await self._conversation(request.conversation_id, request.participant_id)
        side = side_of(conversation, request.participant_id)
        found = await self._messages.page(conversation, side, request.sequence - 1, 1) if request.sequence else []
        if not found or found[0].sent.sequence != request.sequence:
            raise Rejected("NOT_FOUND", "sequence")
        body = await self._store.attachment(found[0].sent.message_id)
        return GetMessageResponse(message=message_of(found[0]), body=body or b"")

    async def _conversation(self, conversation_id: str, participant_id: str) -> Any:  # noqa: ANN401 - a row
        """Somebody else's conversation answers like one that does not exist."""
        rows = await self._queries.rows("conversation", conversation_id, participant_id)
        if not rows:
            raise Rejected("NOT_FOUND", "conversation_id")
        return rows[0]

    async def _seen_by(self, participant_id: str, row: Any) -> Conversation:  # noqa: ANN401 - a row
        """What is withheld from a side is in neither its count nor its times."""
        side = side_of(row, participant_id)
        return Conversation(
            conversation_id=row["conversation_id"],
            client_id=row["client_id"],
            therapist_id=row["therapist_id"],
            stage=STAGE_ENQUIRY,
            opened_at=timestamp(row["opened_at"]),
            last_message_at=timestamp(await self._messages.last_at(row, side)),
            message_count=row["message_count"] - len(withheld_from(row, side)),
        )


def side_of(conversation: Any, participant_id: str) -> int:  # noqa: ANN401 - a row
    return SIDE_CLIENT if conversation["client_id"] == participant_id else SIDE_THERAPIST


def message_of(message: StoredMessage) -> Message:
    sent = message.sent
    return Message(
        conversation_id=sent.conversation_id,
        sequence=sent.sequence,
        message_id=sent.message_id,
        sender=message.side,
        expects=sent.expects,
        kind=sent.kind,
        automatic=sent.automatic,
        sent_at=timestamp(message.at),
        body_size=sent.body.size,
        body_sha256=sent.body.sha256,
        withheld=message.withheld,
    )
