"""Run with the Python that has `eventsourcing`: `store` events, or `replay` and time it.

Arguments: host, port, database, user, what to do, how many events. A replay selects notifications by position, maps
each to its domain event and folds it, as the library's documentation has projections do it.
"""
# mypy: ignore-errors
# The library is not installed where the types are checked.

import hashlib
import json
import os
import sys
import time

MESSAGES_EACH = 20
PAGE = 1_000

host, port, database, user, what, events = sys.argv[1:]
os.environ |= {
    "PERSISTENCE_MODULE": "eventsourcing.postgres",
    "POSTGRES_HOST": host,
    "POSTGRES_PORT": port,
    "POSTGRES_DBNAME": database,
    "POSTGRES_USER": user,
    "POSTGRES_PASSWORD": "",
    "POSTGRES_SCHEMA": "public",
}

from eventsourcing.application import Application  # noqa: E402 - it reads the environment
from eventsourcing.domain import Aggregate, event  # noqa: E402


class Conversation(Aggregate):
    @event("Opened")
    def __init__(self, client_id: str, therapist_id: str) -> None:
        self.client_id, self.therapist_id, self.last = client_id, therapist_id, 0

    @event("MessageSent")
    def send(
        self, client_id: str, therapist_id: str, sequence: int, message_id: str, sender: int, size: int, sha256: str
    ) -> None:
        self.last = sequence


def store(application: "Application", count: int) -> None:
    for number in range(count // (MESSAGES_EACH + 1) + 1):
        client, therapist = f"client-{number:024}", f"therapist-{number % 500:06}"
        conversation = Conversation(client, therapist)
        for sequence in range(1, MESSAGES_EACH + 1):
            name = hashlib.sha256(f"{number} {sequence}".encode()).hexdigest()
            conversation.send(client, therapist, sequence, name[:32], 1 + sequence % 2, 200, name)
        application.save(conversation)


def replay(application: "Application", count: int) -> int:
    last: dict[object, int] = {}
    done = 0
    while done < count:
        page = application.recorder.select_notifications(done + 1, min(PAGE, count - done))
        for notification in page:
            found = application.mapper.to_domain_event(notification)
            if isinstance(found, Conversation.MessageSent):
                assert found.sequence == last.get(found.originator_id, 0) + 1
                last[found.originator_id] = found.sequence
        done += len(page)
    return len(last)


application = Application()
if what == "store":
    store(application, int(events))
else:
    began = time.perf_counter()
    replay(application, int(events))
    print(json.dumps({"per_second": int(events) / (time.perf_counter() - began)}))
application.close()
