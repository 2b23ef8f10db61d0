"""Every call ends with OK or with a reason and a status a caller can act on, and the same request has one answer."""

from collections.abc import Iterator
from functools import cache

from google.protobuf import descriptor_pool
from google.protobuf.descriptor import EnumDescriptor

from holdspace.kernel.v1.errors_pb2 import Reason
from holdspace.kernel.v1.options_pb2 import Status
from holdspace.kernel.v1.options_pb2 import status as status_option
from infra.callers import GRPC_SERVICES
from tests.faults.evidence import Evidence
from tests.faults.history import OK, Attempt, History, Intention
from tests.faults.violation import Violation

WITHOUT_A_REASON = ("UNAVAILABLE", "DEADLINE_EXCEEDED")
"""What gRPC itself says of a server that is gone or stands still."""

PASSING = ("UNAVAILABLE", "DEADLINE_EXCEEDED", "ABORTED", "RESOURCE_EXHAUSTED")
"""Statuses after which the same request may be repeated."""

NEVER = ("INTERNAL", "UNKNOWN", "CANCELLED")


def every_call_ends_with_a_reason(history: History, _: Evidence) -> Iterator[Violation]:
    for intention in history:
        for attempt in intention.attempts:
            if wrong := _what_is_wrong(intention, attempt):
                yield Violation("answers", intention.name, wrong)


def _what_is_wrong(intention: Intention, attempt: Attempt) -> str:
    if attempt.code == OK:
        return ""
    if not attempt.reason:
        return "" if attempt.code in WITHOUT_A_REASON else f"{attempt.code} without a reason"
    if attempt.code in NEVER:
        return f"{attempt.code} {attempt.reason}"
    declared = declared_reasons(intention.service).get(attempt.reason)
    if declared is None:
        return f"{attempt.reason} is declared nowhere"
    return "" if declared == attempt.code else f"{attempt.reason} with {attempt.code}, declared with {declared}"


@cache
def declared_reasons(service: str) -> dict[str, str]:
    """Returns the status of every reason that a service may answer with."""
    file = descriptor_pool.Default().FindServiceByName(GRPC_SERVICES[service]).file
    enums: list[EnumDescriptor] = [Reason.DESCRIPTOR]
    if "Reason" in file.enum_types_by_name:
        enums.append(file.enum_types_by_name["Reason"])
    return {
        value.name.removeprefix("REASON_"): Status.Name(value.GetOptions().Extensions[status_option]).removeprefix(
            "STATUS_"
        )
        for enum in enums
        for value in enum.values
        if value.number
    }


def every_intention_is_answered(history: History, _: Evidence) -> Iterator[Violation]:
    """For good: not only by a status after which to repeat it."""
    for intention in history:
        if all(attempt.code in PASSING or attempt.code in NEVER for attempt in intention.attempts):
            last = intention.attempts[-1] if intention.attempts else None
            told = f"{last.code} {last.reason}".rstrip() if last else "never asked"
            yield Violation("answered in the end", intention.name, f"{told}, {len(intention.attempts)} times")


def a_repeated_request_has_one_answer(history: History, _: Evidence) -> Iterator[Violation]:
    for intention in history:
        if not intention.request_id or intention.request_id in history.lost:
            continue
        different = {answer.SerializeToString(deterministic=True) for answer in intention.answers}
        if len(different) > 1:
            yield Violation("one answer", intention.name, f"{len(different)} different answers")


def a_stop_answers_what_is_in_flight(history: History, _: Evidence) -> Iterator[Violation]:
    """A call that a service had when it was told to stop ends with its answer or with a reason."""
    for at, service in history.stops:
        for intention in history:
            if intention.service != service:
                continue
            for attempt in intention.attempts:
                if attempt.began < at < attempt.ended and attempt.code != OK and not attempt.reason:
                    yield Violation("answers at a stop", intention.name, f"{attempt.code} without a reason")
