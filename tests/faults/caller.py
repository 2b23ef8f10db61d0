"""Calls that are written down: one intention keeps its request and its id until it is answered for good."""

import asyncio
import random
import time
from collections.abc import Sequence
from typing import Any

import grpc
from google.protobuf.message import Message

from infra.callers import Callers
from kernel.grpc.client import reason_of
from tests.faults.checks.answers import NEVER, PASSING
from tests.faults.history import OK, Attempt, History, Intention

DEADLINE_SECONDS = 5.0
PAUSE_SECONDS = (0.05, 0.3)
REPEATED = 0.1  # of what was answered is asked again, half of it twice at once


class Caller:
    """`instances`: the platform's APIs, at each of its instances. Gives up at `give_up_at`, seconds since 1970."""

    def __init__(self, history: History, instances: Sequence[Callers], chance: random.Random) -> None:
        self._history = history
        self._instances = instances
        self._chance = chance
        self.give_up_at = float("inf")

    async def ask(self, service: str, method: str, request: Message) -> Any:
        """Returns the answer, None when it was refused or never came."""
        intention = Intention(service, method, request)
        self._history.intentions.append(intention)
        while True:
            attempt = await self._attempt(intention)
            if attempt.code not in PASSING and attempt.code not in NEVER:
                break
            if time.time() > self.give_up_at:
                return None
            await asyncio.sleep(self._chance.uniform(*PAUSE_SECONDS))
        if attempt.code == OK and intention.request_id and self._chance.random() < REPEATED:
            await asyncio.gather(*(self._attempt(intention) for _ in range(self._chance.choice((1, 2)))))
        return intention.answer

    async def _attempt(self, intention: Intention) -> Attempt:
        instance = self._chance.choice(self._instances)
        call = getattr(getattr(instance, intention.service), intention.method)
        flying = self._history.in_flight
        began = time.time()
        flying[intention.service] = flying.get(intention.service, 0) + 1
        try:
            attempt = Attempt(began, 0, OK, "", await call(intention.request, timeout=DEADLINE_SECONDS))
        except grpc.aio.AioRpcError as error:
            attempt = Attempt(began, 0, error.code().name, reason_of(error)[0])
        finally:
            flying[intention.service] -= 1
        ended = Attempt(began, time.time(), attempt.code, attempt.reason, attempt.answer)
        intention.attempts.append(ended)
        return ended
