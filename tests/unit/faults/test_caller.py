"""How the load asks: one request until it is answered for good, every call written down."""

import random
from typing import Any

import grpc

from holdspace.messaging.v1.service_pb2 import SendMessageRequest, SendMessageResponse
from infra.callers import Callers
from tests.faults.caller import Caller
from tests.faults.history import History
from tests.unit.demo.test_until import error

AWAY = error(grpc.StatusCode.UNAVAILABLE)
INTERNAL = error(grpc.StatusCode.INTERNAL, "INTERNAL")
SUSPENDED = error(grpc.StatusCode.FAILED_PRECONDITION, "SENDER_SUSPENDED")
SENT = SendMessageResponse(sequence=1)


class Messaging:
    """Answers as it is told, and keeps what it was asked, with how many calls were in flight."""

    def __init__(self, history: History, *answers: Any) -> None:
        self._history, self._answers = history, list(answers)
        self.asked: list[str] = []
        self.in_flight: list[int] = []

    async def SendMessage(self, request: SendMessageRequest, timeout: float) -> Any:  # noqa: N802 - as a stub has it
        self.asked.append(request.request_id)
        self.in_flight.append(self._history.in_flight["messaging"])
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


class Unlucky(random.Random):
    """Repeats nothing and hardly waits."""

    def random(self) -> float:
        return 0.99

    def uniform(self, a: float, b: float) -> float:
        return 0.0


def asking(*answers: Any) -> tuple[Caller, Messaging, History]:
    history = History()
    messaging = Messaging(history, *answers)
    return Caller(history, [Callers(None, messaging, None, None, None)], Unlucky()), messaging, history


async def test_a_request_is_asked_again_with_its_id_until_it_is_answered_for_good() -> None:
    caller, messaging, history = asking(AWAY, INTERNAL, SENT)
    assert await caller.ask("messaging", "SendMessage", SendMessageRequest(request_id="r1")) == SENT
    assert messaging.asked == ["r1", "r1", "r1"]
    (intention,) = history
    told = [(attempt.code, attempt.reason) for attempt in intention.attempts]
    assert told == [("UNAVAILABLE", ""), ("INTERNAL", "INTERNAL"), ("OK", "")]


async def test_a_refusal_ends_it() -> None:
    caller, messaging, history = asking(SUSPENDED)
    assert await caller.ask("messaging", "SendMessage", SendMessageRequest(request_id="r1")) is None
    assert messaging.asked == ["r1"]
    assert list(history.accepted()) == []


async def test_patience_ends_it_and_what_is_in_flight_is_known() -> None:
    caller, messaging, history = asking(AWAY)
    caller.give_up_at = 0
    assert await caller.ask("messaging", "SendMessage", SendMessageRequest(request_id="r1")) is None
    assert (messaging.asked, messaging.in_flight, history.in_flight) == (["r1"], [1], {"messaging": 0})
