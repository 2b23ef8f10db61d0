"""Importing: lines of another system, each a message with its original time."""

import hashlib
from dataclasses import dataclass, field

from holdspace.messaging.v1.service_pb2 import (
    GuessedRoles,
    ImportLine,
    ImportMessagesRequest,
    ImportMessagesResponse,
    RejectedLine,
    TurnRolesRequest,
    TurnRolesResponse,
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
from kernel.store.interface import Request
from kernel.texts import Written
from services.messaging.domain.conversation import Conversation, pair
from services.messaging.domain.history import ImportMessage
from services.messaging.domain.roles import TurnRoles

LINES_AT_ONCE_MAX = 256  # two batches of the store's: others' messages do not wait for a whole call of lines


@dataclass(slots=True)
class Report:
    """What became of the lines so far."""

    imported: int = 0
    repeated: int = 0
    rejected: list[RejectedLine] = field(default_factory=list)
    guessed: dict[str, GuessedRoles] = field(default_factory=dict)  # by conversation
    position: int = 0

    def add(self, line: ImportLine, told: Handled | Exception) -> None:
        """Takes what became of a line. Raises what is no rejection."""
        if isinstance(told, Rejected):
            # A line is the request that its number names: another content under it is a changed line.
            changed = told.reason == "REQUEST_REUSED"
            reason, at_fault = ("LINE_CHANGED", "line") if changed else (told.reason, told.field)
            self.rejected.append(RejectedLine(line=line.line, reason=reason, field=at_fault))
            return
        if isinstance(told, Exception):
            raise told
        self.position = max(self.position, told.position)
        if told.repeated or not told.facts:
            self.repeated += 1
        else:
            self.imported += 1
        conversation: Conversation = told.state
        if conversation.is_guessed:
            self.guessed[conversation.conversation_id] = GuessedRoles(**pair(conversation))


class Importing:
    def __init__(self, path: CommandPath, reads: Reads, clock: Clock, ids: Ids) -> None:
        self._path = path
        self._reads = reads
        self._clock = clock
        self._ids = ids

    async def lines(self, request: ImportMessagesRequest, call: CallContext) -> ImportMessagesResponse:
        """Conversations go side by side, the lines of one in order. Raises Rejected when a line has no number, and what
        `CommandPath.run` does but Rejected.
        """
        for place, line in enumerate(request.lines):
            if not line.line:  # Taken without it, the others would tell who wrote first.
                raise Rejected("FIELD_MALFORMED", f"lines[{place}].line")
        report = Report()
        listed = frozenset(request.therapist_ids)
        lines = list(request.lines)  # Each look into a repeated field makes its messages' wrappers anew.
        for first in range(0, len(lines), LINES_AT_ONCE_MAX):
            some = lines[first : first + LINES_AT_ONCE_MAX]
            asked = [self._asked(request, line, listed, call) for line in some]
            for line, told in zip(some, await self._path.run_all(asked, call.deadline), strict=True):
                report.add(line, told)
        return ImportMessagesResponse(
            imported=report.imported,
            repeated_lines=report.repeated,
            rejected=report.rejected,
            revision=self._reads.revision(report.position),
            guessed=report.guessed.values(),
        )

    async def turn_roles(self, request: TurnRolesRequest, call: CallContext) -> TurnRolesResponse:
        """Raises what `CommandPath.run` raises."""
        command = TurnRoles(
            conversation_id=request.conversation_id,
            therapist_id=request.therapist_id,
            reason=Written(self._ids.new(), request.reason),
            now=self._clock.now(),
        )
        identity = call_request(call.scope, call.method, request.request_id, request)
        handled = await self._path.run(command, identity, call.origin, call.deadline)
        conversation: Conversation = handled.state
        return TurnRolesResponse(
            client_id=conversation.client_id,
            therapist_id=conversation.therapist_id,
            revision=self._reads.revision(handled.position),
        )

    def _asked(
        self, request: ImportMessagesRequest, line: ImportLine, listed: frozenset[str], call: CallContext
    ) -> Asked:
        command = ImportMessage(
            source=request.source,
            part_id=part_id(request.part),
            line=line.line,
            sender_id=line.sender_id,
            recipient_id=line.recipient_id,
            sender=line.sender,
            therapist_ids=listed,
            message_id=self._ids.new(),
            today=self._clock.now(),
            now=instant(line.sent_at),
        )
        return Asked(command, line_request(request, line), call.origin._replace(imported_from=request.source))


def part_id(name: str) -> str:
    """Returns the id of a part: 32 hexadecimal digits of a digest over its name. The name of a file may name a person,
    and facts are never erased.
    """
    return hashlib.sha256(name.encode()).hexdigest()[:32] if name else ""


def line_request(request: ImportMessagesRequest, line: ImportLine) -> Request:
    """Returns the identity of a line, whoever imports it, and whatever is said of the roles in it. It is remembered for
    some time across all conversations; the line's own conversation knows it for good.
    """
    said = ImportLine(sender_id=line.sender_id, recipient_id=line.recipient_id, sent_at=line.sent_at)
    return call_request("import", "ImportMessages", f"{request.source}/{line.line}/{part_id(request.part)}", said)
