"""What a handler may know of the call it answers, beyond the request."""

import re
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass

from kernel.facts import Origin
from kernel.grpc.auth import Caller
from kernel.grpc.errors import Answer
from kernel.ids import Ids

TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})")


@dataclass(frozen=True, slots=True)
class CallContext:
    caller: Caller
    person: str  # whom the caller acts for; empty when nobody, or when parts of the request name several
    service: str  # full gRPC name
    method: str
    request_id: str  # empty for a read
    traceparent: str  # W3C: the caller's trace with a span of this call's own
    deadline: float  # on the event loop's clock, seconds
    answer_to: Callable[[Exception], Answer]  # for a stream that refuses one command and goes on; counts it

    def of(self, person: str, request_id: str) -> "CallContext":
        """Returns the same call for one of its requests. Written out: `replace` would take three times as long."""
        return CallContext(
            self.caller,
            person,
            self.service,
            self.method,
            request_id,
            self.traceparent,
            self.deadline,
            self.answer_to,
        )

    @property
    def correlation(self) -> str:
        """The trace id: what follows from one request shares it."""
        return self.traceparent[3:35]

    @property
    def origin(self) -> Origin:
        """What the facts of this call say about where they came from."""
        return self.origin_of(self.person, self.request_id)

    @property
    def scope(self) -> str:
        """Whose request ids these are: the person's the call acts for, else the caller's."""
        return self.scope_of(self.person)

    def scope_of(self, person: str) -> str:
        """Returns the same for one of the call's requests. A person and a service of one name are two."""
        return f"person:{person}" if person else f"{self.caller.kind}:{self.caller.subject}"

    def origin_of(self, person: str, request_id: str) -> Origin:
        """Returns the same for one of the call's requests."""
        service = self.caller.subject if self.caller.kind == "service" else ""
        return Origin(service, person, request_id, self.correlation, self.traceparent)


current: ContextVar[CallContext] = ContextVar("call")


def current_call() -> CallContext:
    """Returns the call that the running handler answers. In a stream of requests person and request_id differ from one
    to the next, and are empty here: take them from `each`. Raises LookupError outside of a call.
    """
    return current.get()


def traceparent_of(metadata: Mapping[str, str | bytes], ids: Ids) -> str:
    """Returns a new span in the caller's trace (W3C Trace Context), or in a new trace when none well formed came."""
    came = TRACEPARENT.fullmatch(str(metadata.get("traceparent", "")))
    trace_id, flags = (came[1], came[2]) if came else (ids.new(), "01")
    return f"00-{trace_id}-{ids.new()[:16]}-{flags}"
