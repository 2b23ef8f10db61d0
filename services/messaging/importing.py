"""Importing: lines of another system, each a message with its original time."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from holdspace.messaging.v1.service_pb2 import (
    ImportLine,
    ImportMessagesRequest,
    ImportMessagesResponse,
    RejectedLine,
)
from kernel.clock import Clock
from kernel.commands import CommandPath
from kernel.errors import Rejected
from kernel.facts import instant
from kernel.grpc.call import CallContext
from kernel.grpc.reads import Reads
from kernel.ids import Ids
from kernel.requests import call_request
from services.messaging.domain.conversation import ImportMessage, conversation_id

CONVERSATIONS_AT_ONCE_MAX = 128


@dataclass(slots=True)
class Report:
    """What became of the lines so far."""

    imported: int = 0
    repeated: int = 0
    rejected: list[RejectedLine] = field(default_factory=list)
    position: int = 0


class Importing:
    def __init__(self, path: CommandPath, reads: Reads, clock: Clock, ids: Ids) -> None:
        self._path = path
        self._reads = reads
        self._clock = clock
        self._ids = ids

    async def lines(self, request: ImportMessagesRequest, call: CallContext) -> ImportMessagesResponse:
        """Conversations go side by side, the lines of one in order. Raises what `CommandPath.run` does but Rejected."""
        report = Report()
        room = asyncio.Semaphore(CONVERSATIONS_AT_ONCE_MAX)
        by_conversation: dict[str, list[ImportLine]] = defaultdict(list)
        for line in request.lines:
            by_conversation[conversation_id(line.sender_id, line.recipient_id)].append(line)

        async def in_turn(lines: Sequence[ImportLine]) -> None:
            async with room:
                for line in lines:
                    await self._line(request.source, line, call, report)

        async with asyncio.TaskGroup() as group:
            for lines in by_conversation.values():
                group.create_task(in_turn(lines))
        return ImportMessagesResponse(
            imported=report.imported,
            repeated_lines=report.repeated,
            rejected=sorted(report.rejected, key=lambda rejected: rejected.line),
            revision=self._reads.revision(report.position),
        )

    async def _line(self, source: str, line: ImportLine, call: CallContext, report: Report) -> None:
        command = ImportMessage(
            source=source,
            line=line.line,
            sender_id=line.sender_id,
            recipient_id=line.recipient_id,
            message_id=self._ids.new(),
            today=self._clock.now(),
            now=instant(line.sent_at),
        )
        identity = call_request(call.caller.subject, "ImportMessages", f"{source}/{line.line}", line)
        origin = call.origin._replace(imported_from=source)
        try:
            handled = await self._path.run(command, identity, origin, call.deadline)
        except Rejected as rejected:
            report.rejected.append(RejectedLine(line=line.line, reason=rejected.reason, field=rejected.field))
            return
        report.position = max(report.position, handled.position)
        if handled.repeated or not handled.facts:
            report.repeated += 1
        else:
            report.imported += 1
