"""The local stack keeps its promises: real servers, started once, never lost, never somebody else's."""

import asyncio
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import asyncpg
import jwt
import psutil
import pytest
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient

from infra import database, topics
from infra.local import keys, postgres, processes, servers, state, supervisor
from infra.local.servers import Servers
from infra.local.stack_error import StackError

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 60


def quietly(_line: str) -> None:
    """Take a line of progress and show it to nobody."""


@pytest.fixture(scope="module")
def data() -> Iterator[Path]:
    """A data folder that PostgreSQL's own account may enter, emptied of processes and files at the end."""
    folder = Path(tempfile.mkdtemp(prefix="holdspace-"))
    folder.chmod(0o755)
    yield folder
    servers.down(folder)
    shutil.rmtree(folder)


@pytest.fixture
def running(data: Path, monkeypatch: pytest.MonkeyPatch) -> Servers:
    """The servers of the folder: started by the first test that asks, found by the others."""
    monkeypatch.delenv(servers.DATABASE_VARIABLE, raising=False)
    monkeypatch.delenv(servers.KAFKA_VARIABLE, raising=False)
    return servers.up(data, quietly)


def pids(data: Path) -> dict[str, int | None]:
    return {each.name: each.pid for each in servers.status(data)}


def processes_of(data: Path) -> list[psutil.Process]:
    """Every living process that has the data folder on its command line, whoever started it."""
    found = [each for each in psutil.process_iter(["cmdline", "status"]) if each.pid != os.getpid()]
    return [
        each
        for each in found
        if each.info["status"] != psutil.STATUS_ZOMBIE and str(data) in " ".join(each.info["cmdline"] or [])
    ]


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "infra.local", *arguments]


def wait_until_noted(data: Path, name: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not supervisor.is_running(data, name):
        assert time.monotonic() < deadline, f"{name} was not started"
        time.sleep(0.01)


def test_a_second_up_finds_the_servers_of_the_first(data: Path, running: Servers) -> None:
    before = pids(data)
    assert servers.up(data, quietly) == running
    assert pids(data) == before
    assert None not in before.values()


def test_two_ups_at_once_start_every_server_once(data: Path, running: Servers) -> None:
    servers.stop_server(data, "postgres")
    both = [
        subprocess.Popen(command("up", "--servers-only", "--data", str(data)), cwd=ROOT, stdout=subprocess.DEVNULL)
        for _ in range(2)
    ]
    assert [each.wait(PATIENCE_SECONDS) for each in both] == [0, 0]
    postmasters = [each for each in processes_of(data) if str(postgres.cluster_of(data)) in each.cmdline()]
    assert [each.pid for each in postmasters] == [pids(data)["postgres"]]
    assert servers.addresses(data) == running


@pytest.mark.slow
def test_an_up_killed_in_the_middle_is_completed_by_the_next(data: Path, running: Servers) -> None:
    servers.stop_server(data, "kafka")
    killed = subprocess.Popen(command("up", "--servers-only", "--data", str(data)), cwd=ROOT, stdout=subprocess.DEVNULL)
    wait_until_noted(data, "kafka")
    killed.kill()
    killed.wait()
    assert servers.up(data, quietly) == running
    assert len([each for each in processes_of(data) if "kafka.Kafka" in each.cmdline()]) == 1


def test_a_process_whose_pid_could_not_be_noted_never_runs(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    launch = processes.Launch(("/usr/bin/touch", str(mark)), os.environ, tmp_path)
    met: list[processes.Identity] = []

    def die_while_noting(identity: processes.Identity) -> None:
        met.append(identity)
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space"):
        processes.spawn(launch, tmp_path / "log", die_while_noting)
    left = [each for each in psutil.process_iter() if each.pid == met[0].pid]  # It may be gone already.
    assert processes.wait_gone(left, 5)
    assert not mark.exists()


def test_a_recycled_pid_is_never_killed(tmp_path: Path) -> None:
    stranger = subprocess.Popen(["/bin/sleep", "60"])
    try:
        ours = processes.Identity(stranger.pid, processes.started_seconds(psutil.Process(stranger.pid)))
        former = replace(ours, started_seconds=ours.started_seconds - 100)
        state.save(tmp_path, {"messaging": state.Entry(ports={}, stop_signal="SIGTERM", process=former)})
        servers.down(tmp_path)
        assert stranger.poll() is None
        processes.stop(ours, signal.SIGTERM, 5)
        assert not processes.find(ours)
    finally:
        stranger.kill()
        stranger.wait()


@pytest.mark.slow
def test_a_killed_server_comes_back_where_it_was(data: Path, running: Servers) -> None:
    for name in ("postgres", "kafka"):
        servers.stop_server(data, name, hard=True)
        assert pids(data)[name] is None
        servers.start_server(data, name)
    assert servers.up(data, quietly) == running


def test_a_taken_port_is_named_and_an_up_moves_to_another(data: Path, running: Servers) -> None:
    servers.stop_server(data, "postgres")
    port = state.load(data)["postgres"].ports["sql"]
    with socket.socket() as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        stranger.bind(("127.0.0.1", port))
        stranger.listen()
        with pytest.raises(StackError, match=f"Port {port} of postgres is taken"):
            servers.start_server(data, "postgres")
        assert servers.up(data, quietly).database_url != running.database_url


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to give itself up")
def test_root_gets_a_server_in_a_folder_only_root_may_enter(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    trial = subprocess.run(["unshare", "--user", "--map-user=1000", "true"], check=False, capture_output=True)
    if trial.returncode != 0:
        pytest.skip("this machine allows no user namespaces")
    try:
        with state.locked(tmp_path):
            supervisor.ensure(tmp_path, [postgres.program()], quietly)
        assert pids(tmp_path)["postgres"] is not None
    finally:
        servers.down(tmp_path)


def test_down_leaves_no_process(data: Path, running: Servers) -> None:
    assert processes_of(data)
    done = subprocess.run(command("down", "--data", str(data)), cwd=ROOT, check=False, timeout=PATIENCE_SECONDS)
    assert done.returncode == 0
    assert processes_of(data) == []
    assert set(pids(data).values()) == {None}


def test_servers_named_by_the_environment_are_used_and_left_alone(
    running: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(servers.DATABASE_VARIABLE, running.database_url)
    monkeypatch.setenv(servers.KAFKA_VARIABLE, running.kafka)
    assert servers.up(tmp_path, quietly) == running
    assert servers.status(tmp_path) == []
    with pytest.raises(StackError, match="named by the environment"):
        servers.stop_server(tmp_path, "kafka")


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        (servers.DATABASE_VARIABLE, "postgresql://me:secret@127.0.0.1:1/x", "127.0.0.1:1 does not answer a query"),
        (servers.KAFKA_VARIABLE, "127.0.0.1:1", "no Kafka broker answers at 127.0.0.1:1"),
    ],
)
def test_a_named_server_that_is_silent_costs_one_clear_line(
    tmp_path: Path, variable: str, value: str, message: str
) -> None:
    environment = {**os.environ, variable: value}
    done = subprocess.run(
        command("up", "--data", str(tmp_path)), cwd=ROOT, env=environment, check=False, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "secret" not in done.stderr


def test_missing_java_costs_one_line_with_the_command_that_installs_it(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HOLDSPACE_")}
    environment["PATH"] = str(tmp_path)
    done = subprocess.run(
        command("up", "--data", str(tmp_path)), cwd=ROOT, env=environment, check=False, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert "apt-get install -y openjdk-17-jre-headless" in done.stderr


def test_topics_are_provisioned_once_and_drift_is_seen_and_mended(running: Servers) -> None:
    trial = [replace(topic, name=topic.name.replace("holdspace.", "holdspace.trial.")) for topic in topics.load()]
    assert len(topics.apply(running.kafka, trial, replication=1, partitions=2).create) == 2 * len(trial)
    assert not topics.plan(running.kafka, trial, replication=1, partitions=2)
    assert not topics.apply(running.kafka, trial, replication=1, partitions=2)

    name = trial[0].name
    with KafkaAdminClient(bootstrap_servers=running.kafka) as client:
        client.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, {"retention.ms": "1000"})])
        client.create_topics({"holdspace.trial.stray.v1": {"num_partitions": 1, "replication_factor": 1}})
    drifted = [line for line in topics.drift(running.kafka, trial, replication=1, partitions=2) if "trial" in line]
    assert drifted == [f"{name} should have retention.ms=-1", "holdspace.trial.stray.v1 is not declared"]
    assert topics.apply(running.kafka, trial, replication=1, partitions=2).change == {name: {"retention.ms": "-1"}}


def test_a_partition_count_is_never_changed(running: Servers) -> None:
    lone = [replace(topics.load()[0], name="holdspace.lone.v1")]
    topics.apply(running.kafka, lone, replication=1, partitions=1)
    with pytest.raises(topics.TopicsError, match=rf"holdspace\.lone\.v1 has 1 partitions, not {lone[0].partitions}"):
        topics.plan(running.kafka, lone, replication=1)
    with pytest.raises(topics.TopicsError, match="keys would move"):
        topics.apply(running.kafka, lone, replication=1)


def test_more_copies_than_brokers_are_refused_with_the_brokers_reason(running: Servers) -> None:
    wide = [replace(topics.load()[0], name="holdspace.wide.v1")]
    with pytest.raises(topics.TopicsError, match=r"holdspace\.wide\.v1: .*replication factor"):
        topics.apply(running.kafka, wide, replication=3)


async def test_preparing_a_database_twice_and_at_once_gives_each_role_its_schema_alone(running: Servers) -> None:
    login = await asyncpg.connect(running.database_url)
    await login.execute("create database other")
    await login.close()
    other = running.database_url.rsplit("/", 1)[0] + "/other"
    await asyncio.gather(*(database.prepare(url) for url in (running.database_url, other, running.database_url)))
    await database.prepare(running.database_url)

    owner = await asyncpg.connect(running.database_url, server_settings={"role": "messaging_owner"})
    await owner.execute("create table messaging.facts (slot int, exclude using gist (slot with =))")
    reader = await asyncpg.connect(running.database_url, server_settings={"role": "messaging_reader"})
    await reader.execute("create schema messaging_rebuild; drop schema messaging_read")
    await reader.execute("alter schema messaging_rebuild rename to messaging_read")
    for role in ("messaging_api", "messaging_reader", "scheduling_owner", "holdspace"):
        other_hand = await asyncpg.connect(running.database_url, server_settings={"role": role})
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await other_hand.execute("create table messaging.stray (id int)")
        await other_hand.close()
    await owner.close()
    await reader.close()


def test_keys_sign_what_their_key_set_verifies_and_only_locally(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOLDSPACE_ENVIRONMENT", "local")
    keys.create(tmp_path)
    token = keys.mint(tmp_path, subject="web", kind="service", scope=["act_for", "report_client"])
    jwks = jwt.PyJWKSet.from_json(keys.jwks_path(tmp_path, "platform").read_text())
    keys.create(tmp_path)
    key = jwks[jwt.get_unverified_header(token)["kid"]]
    claims = jwt.decode(token, key, algorithms=[keys.ALGORITHM], audience=keys.AUDIENCE, issuer=keys.ISSUER)
    assert (claims["sub"], claims["kind"], claims["scope"]) == ("web", "service", "act_for report_client")
    assert stat.S_IMODE(keys.private_path(tmp_path, "platform").stat().st_mode) == 0o600

    evidence = keys.mint_age_token(tmp_path, client_id="c1", over_18=True, receipt="r1")
    age_jwks = jwt.PyJWKSet.from_json(keys.jwks_path(tmp_path, "age-provider").read_text())
    age_key = age_jwks[jwt.get_unverified_header(evidence)["kid"]]
    claims = jwt.decode(evidence, age_key, algorithms=[keys.ALGORITHM], audience=keys.AGE_AUDIENCE)
    assert (claims["sub"], claims["jti"], claims["over_18"]) == ("c1", "r1", True)

    monkeypatch.setenv("HOLDSPACE_ENVIRONMENT", "production")
    with pytest.raises(StackError, match="HOLDSPACE_ENVIRONMENT=local"):
        keys.mint(tmp_path, subject="web", kind="service", scope=[])
