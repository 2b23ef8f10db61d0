"""Run with the Python that has `eventsourcing`: appends in each way the library offers, and tells the best rate.

Arguments: host, port, database, user, seconds for each way. Every append is one event of about 300 bytes of a new
aggregate, recorded with the optimistic check of its version, as the library's `save` does.
"""
# mypy: ignore-errors
# The library is not installed where the types are checked.

import json
import os
import sys
import threading
import time
import uuid

FACT_BYTES = 220
THREADS = (1, 8, 32)

host, port, database, user, seconds = sys.argv[1:]
os.environ |= {
    "PERSISTENCE_MODULE": "eventsourcing.postgres",
    "POSTGRES_HOST": host,
    "POSTGRES_PORT": port,
    "POSTGRES_DBNAME": database,
    "POSTGRES_USER": user,
    "POSTGRES_PASSWORD": "",
    "POSTGRES_SCHEMA": "public",
    "POSTGRES_POOL_SIZE": str(max(THREADS)),
}

from eventsourcing.application import Application  # noqa: E402 - it reads the environment
from eventsourcing.persistence import StoredEvent  # noqa: E402


def rate(application: "Application", threads: int) -> float:
    state, ends_at, done = os.urandom(FACT_BYTES), time.monotonic() + float(seconds), []

    def append() -> None:
        count = 0
        while time.monotonic() < ends_at:
            event = StoredEvent(
                originator_id=uuid.uuid4(), originator_version=1, topic="conversation:MessageSent", state=state
            )
            application.recorder.insert_events([event])
            count += 1
        done.append(count)

    workers = [threading.Thread(target=append) for _ in range(threads)]
    began = time.monotonic()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return sum(done) / (time.monotonic() - began)


rates = {}
for functions in ("no", "yes"):
    application = Application(env={"POSTGRES_ENABLE_DB_FUNCTIONS": functions, "PERSISTENCE_NAME": f"bench{functions}"})
    for threads in THREADS:
        rates[f"{threads} threads, functions in the database: {functions}"] = rate(application, threads)
    application.close()
print(json.dumps({"per_second": max(rates.values()), **rates}))
