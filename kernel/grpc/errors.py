"""What a handler raises becomes a gRPC status with a reason a program can act on (google.rpc.ErrorInfo, AIP-193)."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

import grpc
import structlog
from google.protobuf.descriptor import EnumDescriptor, ServiceDescriptor
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from holdspace.kernel.v1.errors_pb2 import Reason
from holdspace.kernel.v1.options_pb2 import status as status_option
from kernel.errors import ClockOff, DeadlinePassed, Overloaded, Rejected, StoreUnavailable, VersionConflict

DOMAIN = "holdspace"
RETRY_AFTER = {
    "CLOCK_OFF": timedelta(seconds=2),
    "OVERLOADED": timedelta(seconds=1),
    "STORE_UNAVAILABLE": timedelta(seconds=2),
}
CODES = {code.value[0]: code for code in grpc.StatusCode}

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


class WrongDeclaration(Exception):  # noqa: N818 - names the finding
    """Proto files declare too little, or what cannot be. The message has one line for each finding."""


@dataclass(frozen=True, slots=True)
class Answer:
    """How a failed call, or a refused command of a stream, is answered."""

    code: grpc.StatusCode
    reason: str  # always a declared one
    field: str  # of the request, such as messages[3].sender_id; empty when no field is at fault
    retry_after: timedelta | None
    service: str
    trace_id: str

    @property
    def message(self) -> str:
        return f"{self.reason}: {self.field}" if self.field else self.reason

    def status(self) -> Status:
        """Returns the code, the message, and ErrorInfo with BadRequest and RetryInfo where they apply."""
        status = Status(code=self.code.value[0], message=self.message)
        about = {"service": self.service, "trace_id": self.trace_id} | ({"field": self.field} if self.field else {})
        status.details.add().Pack(ErrorInfo(reason=self.reason, domain=DOMAIN, metadata=about))
        if self.field:
            violation = BadRequest.FieldViolation(field=self.field, description=self.reason)
            status.details.add().Pack(BadRequest(field_violations=[violation]))
        if self.retry_after is not None:
            delay = Duration()
            delay.FromTimedelta(self.retry_after)
            status.details.add().Pack(RetryInfo(retry_delay=delay))
        return status


class Reasons:
    """The reasons a server may answer with: the kernel's, and the `Reason` enum in the file of each of its services."""

    def __init__(self, services: Iterable[ServiceDescriptor]) -> None:
        """Raises WrongDeclaration for a reason without a status, or with two."""
        files = {service.file.name: service.file for service in services}.values()
        enums = [file.enum_types_by_name["Reason"] for file in files if "Reason" in file.enum_types_by_name]
        self._codes: dict[str, grpc.StatusCode] = {}
        wrong = [line for enum in (Reason.DESCRIPTOR, *enums) for line in self._read(enum)]
        if wrong:
            raise WrongDeclaration("\n".join(wrong))

    def _read(self, enum: EnumDescriptor) -> Iterable[str]:
        for value in enum.values:
            if value.number == 0:
                continue
            code = CODES[value.GetOptions().Extensions[status_option]]
            reason = value.name.removeprefix("REASON_")
            if code is grpc.StatusCode.OK:
                yield f"{enum.full_name}: {value.name} has no status"
            elif self._codes.setdefault(reason, code) is not code:
                yield f"{enum.full_name}: {value.name} has another status elsewhere"

    def answer(self, error: Exception, service: str, trace_id: str) -> Answer:
        """Returns the answer to what a handler raised.

        What nobody foresaw, an undeclared reason included, is logged here and answered INTERNAL, without a word of it.
        """
        rejected = _as_rejection(error)
        if rejected is None or rejected.reason not in self._codes:
            log.error("call failed", exc_info=error)
            rejected = Rejected("INTERNAL")
        reason = rejected.reason
        retry_after = rejected.retry_after or RETRY_AFTER.get(reason)
        return Answer(self._codes[reason], reason, rejected.field, retry_after, service, trace_id)


def _as_rejection(error: Exception) -> Rejected | None:
    match error:
        case Rejected():
            return error
        case VersionConflict():
            return Rejected("CONTENDED")
        case ClockOff():
            return Rejected("CLOCK_OFF")
        case StoreUnavailable():
            return Rejected("STORE_UNAVAILABLE")
        case Overloaded():
            return Rejected("OVERLOADED")
        case DeadlinePassed():
            return Rejected("DEADLINE_PASSED")
        case _:
            return None
