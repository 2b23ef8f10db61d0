"""P11: our consumers beside Faust's own, on the same topic: what the exactly-once effect costs."""

import asyncio
import json
import os
import secrets
import sys
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from kernel.facts import Origin
from tests.integration.published import START, Vocabulary, create_topic, new_topic_name, owner, publish, written
from tests.load.consuming import APPENDS, JOINED_APPENDS, NOTHING, ROWS, TABLE, Task
from tests.load.measuring import Cell, Figure, Goal, Group, Options, Reading
from tests.load.stack import Stack

RECORDS = 20_000
SUBJECTS = 500
PARTITIONS = 8
CELL_SECONDS_MAX = 120.0
ROOT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True, slots=True)
class Topic:
    stack: Stack
    database_url: str
    name: str

    def cell(self, title: str, effect: str, *, catch_up: bool = False) -> Cell:
        """Takes the whole topic with a consumer that is new, in a process that is new."""

        async def measure() -> Reading:
            name = f"bench-{secrets.token_hex(4)}"
            kafka = self.stack.servers.kafka
            task = Task(effect, catch_up, name, self.database_url, kafka, self.name, RECORDS)
            return {"per_second": RECORDS / await _seconds(task, self.stack.folder / f"{name}.log")}

        return Cell(title, measure)


async def _seconds(task: Task, log: Path) -> float:
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'proto' / 'gen'}"}
    with log.open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.load.consuming",
            task.text(),
            cwd=ROOT,
            env=environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
        )
        try:
            async with asyncio.timeout(CELL_SECONDS_MAX):
                told, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    lines = [line for line in told.decode().splitlines() if line.startswith('{"seconds"')]
    if not lines:
        raise RuntimeError(f"the consumer failed: see {log}")
    return float(json.loads(lines[0])["seconds"])


async def fill(kafka: str, vocabulary: Vocabulary) -> None:
    """Publishes facts of about 300 bytes, a subject's in order."""
    trace = f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"
    origin = Origin("test", f"person-{secrets.token_hex(8)}", secrets.token_hex(16), secrets.token_hex(16), trace)
    notes = []
    for number in range(RECORDS):
        subject = f"client-{number % SUBJECTS:08d}"
        payload = vocabulary.Noted(subject=subject, number=number)
        notes.append((subject, vocabulary.types.seal(payload, uuid.uuid4().hex, START, origin)))
    await create_topic(kafka, vocabulary.topic, PARTITIONS)
    await publish(kafka, vocabulary.topic, written(notes), PARTITIONS)


@asynccontextmanager
async def open_cells(stack: Stack, _: Options) -> AsyncIterator[Sequence[Cell]]:
    async with stack.database("messaging") as database_url:
        connection = await owner(database_url)
        await connection.execute(TABLE)
        await connection.close()
        topic = Topic(stack, database_url, new_topic_name())
        await fill(stack.servers.kafka, Vocabulary(topic.name))
        yield [
            topic.cell(FAUST, NOTHING),
            topic.cell(WITH_ROWS, ROWS),
            topic.cell(WITH_APPENDS, APPENDS),
            topic.cell(WITH_JOINED_APPENDS, JOINED_APPENDS),
            topic.cell(IN_BULK, ROWS, catch_up=True),
        ]


FAUST = "Faust, an agent that does nothing"
WITH_ROWS = "consumer, a row for each fact"
WITH_APPENDS = "consumer, a command and an append for each fact"
WITH_JOINED_APPENDS = "consumer, a command and an append for each key of a batch"
IN_BULK = "consumer that catches up, a row for each fact"


def _rate(cell: str, least: float | None) -> Goal:
    return Goal("P11", f"{cell}, of {FAUST}", Figure(cell, "per_second"), Figure(FAUST, "per_second"), least=least)


GROUP = Group(
    "Consumers",
    [
        Goal("P11", f"{FAUST}: records a second", Figure(FAUST, "per_second")),
        _rate(WITH_ROWS, 0.9),
        _rate(WITH_APPENDS, 0.7),
        _rate(WITH_JOINED_APPENDS, None),
        _rate(IN_BULK, 5),
    ],
    open_cells,
)
