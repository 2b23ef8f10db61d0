"""Importing: lines of another system, each a message with its original time."""

from dataclasses import dataclass, field

from holdspace.messaging.v1.service_pb2 import (
    ImportLine,
    ImportMessagesRequest,
    ImportMessagesResponse,
    RejectedLine,
)
from kernel.clock import Clock
from kernel.commands import CommandPath, Handled
from kernel.errors import Rejected
from kernel.facts import instant
from kernel.grpc.call import CallContext
from kernel.grpc.reads import Reads
from kernel.ids import Ids
from kernel.requests import call_request
from kernel.routes import Asked
from services.messaging.domain.conversation import ImportMessage

LINES_AT_ONCE_MAX = 256  # two batches of the store's: others' messages do not wait for a whole call of lines


@dataclass(slots=True)
class Report:
    """What became of the lines so far."""

    imported: int = 0
    repeated: int = 0
    rejected: list[RejectedLine] = field(default_factory=list)
    position: int = 0

    def add(self, line: ImportLine, told: Handled | Exception) -> None:
        """Takes what became of a line. Raises what is no rejection."""
        if isinstance(told, Rejected):
            self.rejected.append(RejectedLine(line=line.line, reason=told.reason, field=told.field))
            return
        if isinstance(told, Exception):
            raise told
        self.position = max(self.position, told.position)
        if told.repeated or not told.facts:
            self.repeated += 1
        else:
            self.imported += 1


class Importing:
    def __init__(self, path: CommandPath, reads: Reads, clock: Clock, ids: Ids) -> None:
        self._path = path
        self._reads = reads
        self._clock = clock
        self._ids = ids

    async def lines(self, request: ImportMessagesRequest, call: CallContext) -> ImportMessagesResponse:
        """Conversations go side by side, the lines of one in order. Raises what `CommandPath.run` does but Rejected."""
        report = Report()
        lines = list(request.lines)  # Each look into a repeated field makes its messages' wrappers anew.
        for first in range(0, len(lines), LINES_AT_ONCE_MAX):
            some = lines[first : first + LINES_AT_ONCE_MAX]
            asked = [self._asked(request.source, line, call) for line in some]
            for line, told in zip(some, await self._path.run_all(asked, call.deadline), strict=True):
                report.add(line, told)
        return ImportMessagesResponse(
            imported=report.imported,
            repeated_lines=report.repeated,
            rejected=report.rejected,
            revision=self._reads.revision(report.position),
        )

    def _asked(self, source: str, line: ImportLine, call: CallContext) -> Asked:
        command = ImportMessage(
            source=source,
            line=line.line,
            sender_id=line.sender_id,
            recipient_id=line.recipient_id,
            message_id=self._ids.new(),
            today=self._clock.now(),
            now=instant(line.sent_at),
        )
        identity = call_request(call.scope, "ImportMessages", f"{source}/{line.line}", line)
        return Asked(command, identity, call.origin._replace(imported_from=source))
