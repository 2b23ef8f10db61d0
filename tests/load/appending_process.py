"""One of several processes that append to a store: `python -m tests.load.appending_process URL CALLERS SECONDS FLIGHT`.

Waits for a line on its standard input, appends, and tells its figures as JSON.
"""

import json
import sys

import uvloop

from kernel import garbage
from kernel.store.postgres import PostgresStore
from tests.load.groups.append import Uncounted, appending
from tests.load.measuring import Reading


async def run(database_url: str, callers: int, seconds: float, batches_in_flight: int) -> Reading:
    store = PostgresStore(database_url, "messaging", Uncounted(), batches_in_flight=batches_in_flight)
    await store.open()
    garbage.keep_what_is_there()
    print("ready", flush=True)
    sys.stdin.readline()
    reading = await appending(store, callers, seconds=seconds)()
    await store.close()
    return reading


if __name__ == "__main__":
    url, callers, seconds, flight = sys.argv[1:]
    print(json.dumps(uvloop.run(run(url, int(callers), float(seconds), int(flight)))))
