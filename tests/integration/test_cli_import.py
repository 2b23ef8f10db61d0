"""`holdspace import` as an operator runs it: a process of its own against a running messaging."""

import asyncio
import gzip
import json
import os
import random
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest

from holdspace.messaging.v1.events_pb2 import SIDE_CLIENT, SIDE_THERAPIST, MessageSent
from infra.local import keys
from infra.local.servers import Servers
from kernel.facts import open_envelope
from kernel.queries import Queries
from services.messaging.domain.conversation import conversation_id
from services.messaging.messages import Messages
from services.messaging.wiring import MESSAGING
from tests.calls import count_facts
from tests.running import ServiceProcess, free_port

PATIENCE_SECONDS = 60
START = 1_082_040_961

Conversations = dict[str, list[tuple[str, datetime]]]  # sender and time of each message, in order


@pytest.fixture
def messaging(servers: Servers, database_url: str, credentials: Path, tmp_path: Path) -> Iterator[ServiceProcess]:
    process = ServiceProcess("messaging", servers, database_url, credentials, tmp_path)
    yield process.start()
    process.stop()


@pytest.fixture(scope="module")
def shared(
    servers: Servers, module_database_url: str, credentials: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServiceProcess]:
    """Messaging for tests that do not look at all it has."""
    folder = tmp_path_factory.mktemp("messaging")
    process = ServiceProcess("messaging", servers, module_database_url, credentials, folder)
    yield process.start()
    process.stop()


def seeded_trace(lines: int, people: int = 60) -> list[tuple[str, str, int]]:
    """Returns sender, receiver, seconds."""
    chance = random.Random(7)
    pairs = [chance.sample(range(people), 2) for _ in range(lines)]
    return [(f"{one}", f"{other}", START + n * 60) for n, (one, other) in enumerate(pairs)]


def write(path: Path, trace: list[tuple[str, str, int]]) -> Path:
    content = "".join(f"{sender} {receiver} {seconds}\n" for sender, receiver, seconds in trace).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def command(messaging: ServiceProcess, path: Path, *more: str) -> tuple[list[str], dict[str, str]]:
    token = keys.mint(messaging.credentials, subject="operator", kind="service", scope=["messaging.import", "act_for"])
    environment = {**os.environ, "HOLDSPACE_MESSAGING": messaging.target, "HOLDSPACE_TOKEN": token}
    return [sys.executable, "-m", "infra.cli", "import", str(path), "--source", "old", *more], environment


def run(messaging: ServiceProcess, path: Path, *more: str, **variables: str) -> subprocess.CompletedProcess[str]:
    arguments, environment = command(messaging, path, *more)
    return subprocess.run(
        arguments, env={**environment, **variables}, capture_output=True, text=True, timeout=100, check=False
    )


def start(messaging: ServiceProcess, path: Path) -> subprocess.Popen[bytes]:
    arguments, environment = command(messaging, path)
    return subprocess.Popen(arguments, env=environment)


def expected(trace: list[tuple[str, str, int]]) -> Conversations:
    found: Conversations = defaultdict(list)
    for sender, receiver, seconds in trace:
        pair = conversation_id(f"old-{sender}", f"old-{receiver}")
        found[pair].append((f"old-{sender}", datetime.fromtimestamp(seconds, UTC)))
    return found


async def conversations(url: str) -> Conversations:
    """Returns what messaging has, once its rows have caught up."""
    connection = await asyncpg.connect(
        url, server_settings={"role": "messaging_reader", "search_path": "messaging_read, messaging"}
    )
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while await connection.fetchval(  # noqa: ASYNC110 - another process projects
                "select position < (select max(position) from facts) from read_model_checkpoint"
            ):
                await asyncio.sleep(0.05)
        rows = await connection.fetch("select * from conversations")
    finally:
        await connection.close()
    queries = Queries(url, "messaging", MESSAGING.queries)
    await queries.open()
    messages, found = Messages(queries, MESSAGING.own_facts), Conversations()
    for row in rows:
        sides = {SIDE_CLIENT: row["client_id"], SIDE_THERAPIST: row["therapist_id"]}
        page = await messages.page(row, SIDE_CLIENT, 0, row["message_count"])
        found[row["conversation_id"]] = [(sides[message.sent.sender], message.at) for message in page]
    await queries.close()
    return found


async def wait_for_facts(url: str, count: int) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while await count_facts(url, "messaging") < count:  # noqa: ASYNC110 - another process appends
            await asyncio.sleep(0.01)


@pytest.mark.rule("PL6")
async def test_a_file_is_imported_once_however_often_it_is_run_with_its_bad_lines_kept_apart(
    messaging: ServiceProcess, database_url: str, tmp_path: Path
) -> None:
    trace = seeded_trace(1_500)
    path = write(tmp_path / "trace.txt", trace)
    pair = trace[-1][:2]
    bad = f"1 2\n\n7 7 {START}\n{pair[0]} {pair[1]} {START}\n"  # malformed, blank, one person, older than the last
    path.write_text(path.read_text().replace("\n", "\r\n") + bad)
    reasons = [
        {"line": 1_501, "reason": "LINE_MALFORMED", "field": ""},
        {"line": 1_502, "reason": "LINE_BLANK", "field": ""},
        {"line": 1_503, "reason": "PAIR_OF_ONE", "field": "recipient_id"},
        {"line": 1_504, "reason": "LINE_OUT_OF_ORDER", "field": "sent_at"},
    ]

    for counts in ("imported 1500, repeated 0, rejected 4", "imported 0, repeated 1500, rejected 4"):
        done = run(messaging, path)
        rejects = tmp_path / "trace.txt.old.rejects"
        assert done.returncode == 3
        assert done.stdout.startswith(counts)
        assert done.stderr.endswith(f"Error: 4 lines were rejected: {rejects}\n")
        assert [json.loads(line) for line in rejects.read_text().splitlines()] == reasons
        assert await conversations(database_url) == expected(trace)

    path.write_text(path.read_text().removesuffix(bad))  # and lines added at the end
    trace.append((*pair, trace[-1][2] + 1))
    path.write_text(f"{path.read_text()}{pair[0]} {pair[1]} {trace[-1][2]}\n")
    done = run(messaging, path)
    assert (done.returncode, done.stdout.split(" in ")[0]) == (0, "imported 1, repeated 1500, rejected 0")
    assert not rejects.exists()
    assert await conversations(database_url) == expected(trace)


@pytest.mark.rule("PL6")
async def test_an_import_killed_midway_and_run_again_gives_what_an_unbroken_one_gives(
    messaging: ServiceProcess, database_url: str, tmp_path: Path
) -> None:
    trace = seeded_trace(3_000)
    path = write(tmp_path / "trace.gz", trace)
    killed = start(messaging, path)
    await wait_for_facts(database_url, 1_500)
    killed.kill()
    assert killed.wait() < 0

    done = run(messaging, path)

    assert done.returncode == 0
    assert int(done.stdout.split()[1].rstrip(",")) < 3_000  # some were there
    assert await conversations(database_url) == expected(trace)


async def test_an_import_goes_on_when_messaging_is_killed_and_comes_back(
    messaging: ServiceProcess, database_url: str, tmp_path: Path
) -> None:
    trace = seeded_trace(3_000)
    running = start(messaging, write(tmp_path / "trace.txt", trace))
    await wait_for_facts(database_url, 1_500)
    messaging.kill()
    await asyncio.to_thread(messaging.start)
    assert await asyncio.to_thread(running.wait, PATIENCE_SECONDS) == 0
    assert await conversations(database_url) == expected(trace)


def test_json_lines_are_known_by_the_name_of_the_file(shared: ServiceProcess, tmp_path: Path) -> None:
    path = tmp_path / "export.jsonl"
    path.write_text('{"sender": 1, "receiver": "b", "sent_at": "2020-01-31T10:00:00+01:00"}\n')
    assert run(shared, path).stdout.startswith("imported 1, repeated 0, rejected 0")
    assert run(shared, path, "--format", "trace").returncode == 3


@pytest.mark.rule("PL6", "PL10")
async def test_a_corrected_line_is_imported_and_the_rejects_stay_until_all_of_them_are_in(
    messaging: ServiceProcess, database_url: str, tmp_path: Path
) -> None:
    trace = seeded_trace(40, people=5)
    path, rejects = write(tmp_path / "trace.txt", trace), tmp_path / "trace.txt.old.rejects"
    good = path.read_text().splitlines()
    bad = {number: f"{good[number]}x" for number in (0, 20, 30)}
    path.write_text("\n".join(bad.get(number, line) for number, line in enumerate(good)))
    done = run(messaging, path)
    assert (done.returncode, done.stdout.split(" in ")[0]) == (3, "imported 37, repeated 0, rejected 3")

    path.write_text("\n".join(bad[20] if number == 20 else line for number, line in enumerate(good)))
    done = run(messaging, path)
    assert (done.returncode, done.stdout.split(" in ")[0]) == (3, "imported 2, repeated 37, rejected 1")
    assert [json.loads(line)["line"] for line in rejects.read_text().splitlines()] == [21]

    path.write_text("\n".join(good))
    done = run(messaging, path)
    assert (done.returncode, done.stdout.split(" in ")[0]) == (0, "imported 1, repeated 39, rejected 0")
    assert not rejects.exists()
    found = await conversations(database_url)
    assert {pair: sorted(messages, key=lambda m: m[1]) for pair, messages in found.items()} == expected(trace)

    path.write_text("\n".join([*good[:-1], good[-1].replace(str(trace[-1][2]), str(trace[-1][2] + 5))]))
    done = run(messaging, path)
    assert (done.returncode, done.stdout.split(" in ")[0]) == (3, "imported 0, repeated 39, rejected 1")
    assert json.loads(rejects.read_text()) == {"line": 40, "reason": "LINE_CHANGED", "field": "line"}


@pytest.mark.rule("PL6")
async def test_what_was_imported_is_known_when_no_request_is_remembered_any_more_and_nothing_is_lost_or_doubled(
    messaging: ServiceProcess, database_url: str, tmp_path: Path
) -> None:
    trace = seeded_trace(60, people=6)
    first, second = write(tmp_path / "first.txt", trace[:30]), write(tmp_path / "second.txt", trace[30:])
    for path in (first, second):
        assert run(messaging, path).stdout.startswith("imported 30, repeated 0, rejected 0")
    connection = await asyncpg.connect(database_url, server_settings={"role": "messaging_owner"})
    await connection.execute("truncate messaging.requests_call, messaging.requests_call_previous")
    await connection.close()
    messaging.kill()
    messaging.start()

    for path in (first, second):
        done = run(messaging, path)
        assert (done.returncode, done.stdout.split(" in ")[0]) == (0, "imported 0, repeated 30, rejected 0")
    copied = write(tmp_path / "copy.txt", trace[:30])
    assert run(messaging, copied).stdout.startswith("imported 0, repeated 0, rejected 30")
    assert run(messaging, copied, "--part", "first.txt").stdout.startswith("imported 0, repeated 30, rejected 0")
    assert await conversations(database_url) == expected(trace)


@pytest.mark.rule("PL6", "PL8")
def test_who_the_therapist_is_comes_from_the_lines_or_a_list_and_a_guess_is_said_to_be_one(
    shared: ServiceProcess, tmp_path: Path
) -> None:
    guesses, listed = tmp_path / "a.txt.guess.guessed", tmp_path / "therapists.txt"
    path = tmp_path / "a.txt"
    path.write_text(f"c t {START}\nt c {START + 1}\nc u {START} client\n")
    done = run(shared, path, "--source", "guess")
    assert done.returncode == 0
    _, said, revision = done.stdout.splitlines()
    assert said == f"guessed the therapist of 1 conversation, and enrolled nobody by it: {guesses}"
    assert revision.startswith("revision ")
    [guess] = map(json.loads, guesses.read_text().splitlines())
    assert (guess["client"], guess["therapist"]) == ("guess-c", "guess-t")

    listed.write_text("t\n\nu\n")
    done = run(shared, path, "--source", "list", "--therapists", str(listed))
    assert (done.returncode, "guessed" in done.stdout) == (0, False)

    path.write_text(f"c t {START} therapist\nc u {START} client\n")
    done = run(shared, path, "--source", "both", "--therapists", str(listed))
    [rejected] = map(json.loads, (tmp_path / "a.txt.both.rejects").read_text().splitlines())
    assert (done.returncode, rejected) == (3, {"line": 1, "reason": "ROLES_CONFLICT", "field": "sender"})


@pytest.mark.rule("PL6")
def test_a_header_is_passed_over_and_lines_keep_the_numbers_of_the_file(shared: ServiceProcess, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text(f"\ufeffsender receiver sent_at\r\nh1 h2 {START}\r\nh1 h2 soon\r\n")
    done = run(shared, path, "--header")
    assert (done.returncode, done.stdout.split(" in ")[0]) == (3, "imported 1, repeated 0, rejected 1")
    assert json.loads((tmp_path / "a.txt.old.rejects").read_text())["line"] == 3
    done = run(shared, path)
    assert done.stdout.startswith("imported 0, repeated 1, rejected 2")
    assert '"reason": "LINE_IS_HEADER"' in (tmp_path / "a.txt.old.rejects").read_text()


async def test_an_interrupted_run_leaves_the_rejects_of_the_lines_it_did_not_look_at(
    messaging: ServiceProcess, database_url: str, tmp_path: Path
) -> None:
    trace = seeded_trace(3_000)
    path, rejects = write(tmp_path / "trace.txt", trace), tmp_path / "trace.txt.old.rejects"
    good = path.read_text().splitlines()
    path.write_text("\n".join([f"{good[0]}x", *good[1:-1], f"{good[-1]}x"]))
    assert run(messaging, path).returncode == 3
    path.write_text("\n".join([*good[:-1], f"{good[-1]}x"]))
    path.write_bytes(gzip.compress(path.read_bytes())[:-4_000])  # It ends midway.
    done = run(messaging, path)
    assert done.returncode == 1
    assert "cannot be unpacked to its end" in done.stderr
    assert [json.loads(line)["line"] for line in rejects.read_text().splitlines()] == [3_000]


@pytest.mark.rule("PL6")
async def test_who_imported_is_on_record_whether_a_person_or_a_service_for_one(
    messaging: ServiceProcess, database_url: str, tmp_path: Path
) -> None:
    for kind, subject, scope in (("person", "ann", []), ("service", "tool", ["act_for"])):
        path = tmp_path / f"{kind}.txt"
        path.write_text(f"{kind} t {START}\n")
        token = keys.mint(messaging.credentials, subject=subject, kind=kind, scope=["messaging.import", *scope])
        who = () if kind == "person" else ("--operator", "bob")
        assert run(messaging, path, *who, HOLDSPACE_TOKEN=token).returncode == 0
    connection = await asyncpg.connect(database_url, server_settings={"role": "messaging_reader"})
    facts = await connection.fetch("select fact from messaging.facts order by position")
    await connection.close()
    envelopes = [open_envelope(fact["fact"]) for fact in facts]
    own = [each for each in envelopes if each.type == MessageSent.DESCRIPTOR.full_name]
    assert len(own) == 2
    actors = {(each.actor.person, each.actor.service, each.imported_from) for each in own}
    assert actors == {("ann", "", "old"), ("bob", "tool", "old")}


WRONG = {
    "a file that is not there": ("none.txt", None, {}, 2, "none.txt cannot be read: No such file or directory"),
    "an empty file": ("empty.txt", b"", {}, 2, "empty.txt is empty: there is nothing to import"),
    "a file packed with something else": ("a.gz", b"PK\3\4", {}, 1, "cannot be unpacked to its end: Not a gzipped"),
    "a wrong token": ("a.txt", b"1 2 3\n", {"HOLDSPACE_TOKEN": "no.to.ken"}, 1, "TOKEN_INVALID: check HOLDSPACE_TOKEN"),
    "nobody there": ("a.txt", b"1 2 3\n", {"HOLDSPACE_MESSAGING": ""}, 1, "messaging does not answer at 127.0.0.1:"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_done_is_one_line_and_an_exit_code(shared: ServiceProcess, tmp_path: Path, case: str) -> None:
    name, content, variables, code, line = WRONG[case]
    if content is not None:
        (tmp_path / name).write_bytes(content)
    if "HOLDSPACE_MESSAGING" in variables:
        variables = {"HOLDSPACE_MESSAGING": f"127.0.0.1:{free_port()}"}
    done = run(shared, tmp_path / name, **variables)
    assert done.returncode == code
    assert line in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not list(tmp_path.glob("*.rejects"))


def test_a_wrong_name_of_the_source_is_refused(shared: ServiceProcess, tmp_path: Path) -> None:
    done = run(shared, write(tmp_path / "a.txt", seeded_trace(1)), "--source", "a b")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Error: --source must be letters")


def test_a_file_ten_times_as_long_takes_no_more_memory(shared: ServiceProcess, tmp_path: Path) -> None:
    peaks = []
    for length in (15_000, 150_000):
        path = tmp_path / f"{length}.txt"
        with path.open("w") as file:
            for n in range(length):
                # Most are refused here and cost messaging nothing, but they go the same way through the command.
                file.write(f"{n % 50} {n % 50 + 1} {START + n}\n" if n % 100 == 0 else f"{n} {n} soon\n")
        peaks.append(peak_bytes(start(shared, path)))
    assert peaks[1] < peaks[0] + 8 * 1024 * 1024  # kept in memory, the lines would take some 40 MiB more


def peak_bytes(process: subprocess.Popen[bytes]) -> int:
    """Returns the most memory a process had resident by its end."""
    peak, status = 0, Path(f"/proc/{process.pid}/status")
    while process.poll() is None:
        found = [line.split()[1] for line in status.read_text().splitlines() if line.startswith("VmHWM")]
        peak = int(found[0]) * 1024 if found else peak
        time.sleep(0.02)
    return peak
