"""What callers asked and were told: the one half of what the checker compares."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

OK = "OK"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One call. Times in seconds since 1970, of the machine's own clock. `reason` is empty when no service gave one."""

    began: float
    ended: float
    code: str  # name of the gRPC status
    reason: str = ""
    answer: Message | None = None


@dataclass(slots=True)
class Intention:
    """One thing somebody wants: one request with one id, asked again until it is answered for good."""

    service: str
    method: str
    request: Message
    attempts: list[Attempt] = field(default_factory=list)

    @property
    def request_id(self) -> str:
        """Empty for a read."""
        return str(getattr(self.request, "request_id", ""))

    @property
    def answers(self) -> list[Message]:
        return [attempt.answer for attempt in self.attempts if attempt.answer is not None]

    @property
    def answer(self) -> Any:
        """Returns the first answer, None when there was none."""
        return next(iter(self.answers), None)

    @property
    def name(self) -> str:
        return f"{self.service}.{self.method} {self.request_id}".rstrip()


@dataclass(slots=True)
class History:
    """`in_flight`: calls by service that have no answer yet. `stops`: when which service was told to stop. `lost`: ids
    of requests whose effect was lost with a database that was restored from a backup.
    """

    intentions: list[Intention] = field(default_factory=list)
    in_flight: dict[str, int] = field(default_factory=dict)
    stops: list[tuple[float, str]] = field(default_factory=list)
    lost: set[str] = field(default_factory=set)

    def __iter__(self) -> Iterator[Intention]:
        return iter(self.intentions)

    def accepted(self, *methods: str) -> Iterator[Intention]:
        """Yields what was answered with OK, of these methods or of all."""
        for intention in self.intentions:
            if intention.answer is not None and (not methods or intention.method in methods):
                yield intention

    @property
    def calls(self) -> int:
        return sum(len(intention.attempts) for intention in self.intentions)

    def save(self, path: Path) -> None:
        """Writes a line of JSON for each intention."""
        with path.open("w") as lines:
            for each in self.intentions:
                attempts = [[a.began, a.ended, a.code, a.reason, _plain(a.answer)] for a in each.attempts]
                told = {"service": each.service, "method": each.method, "request": _plain(each.request)}
                lines.write(json.dumps({**told, "attempts": attempts}) + "\n")


def _plain(message: Message | None) -> Any:
    return None if message is None else MessageToDict(message, preserving_proto_field_name=True)
