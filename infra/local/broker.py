"""Apache Kafka in KRaft mode, as one program of the local stack: one node that is broker and controller."""

import fcntl
import os
import re
import shutil
import signal
import string
import tempfile
import uuid
from base64 import urlsafe_b64encode
from pathlib import Path

from kafka.admin import KafkaAdminClient
from kafka.errors import KafkaError

from infra.local import processes
from infra.local.ports import LOOPBACK
from infra.local.processes import Launch
from infra.local.stack_error import StackError
from infra.local.supervisor import Ports, Program, Say

NAME = "kafka"
VERSION = "4.3.1"
JAVA_MAJOR_MIN = 17
ANSWER_MS = 2_000

TEMPLATES = Path(__file__).parent / "kafka"
# One copy of the jars for every data folder of this checkout.
CACHE = Path(__file__).resolve().parents[2] / ".local" / "cache" / f"kafka-{VERSION}"

# Room for what is soon garbage, collected in one short pause now and then. G1 marks a small heap again and again, on
# processors that others need, and each time stops the broker for 30 ms and more.
JVM = ("-Xms512m", "-Xmx512m", "-Xmn320m", "-XX:+UseParallelGC", "-XX:MetaspaceSize=128m", "-XX:+AlwaysPreTouch")

JAVA_PACKAGE = "openjdk-17-jre-headless"
MAVEN_PACKAGE = "maven"


def program() -> Program:
    """Kafka for the supervisor; its ports are called `broker` and `controller`."""
    return Program(
        name=NAME,
        port_names=("broker", "controller"),
        stop_signal=signal.SIGTERM,
        stop_seconds=30,
        ready_seconds=90,
        prepare=prepare,
        launch=launch,
        is_ready=lambda ports: answers(address(ports["broker"])),
    )


def address(port: int) -> str:
    """The bootstrap address for clients."""
    return f"{LOOPBACK}:{port}"


def answers(bootstrap: str) -> bool:
    """Whether a broker there answers a request for the cluster's metadata; an open port is not enough."""
    try:
        client = KafkaAdminClient(
            bootstrap_servers=bootstrap, bootstrap_timeout_ms=ANSWER_MS, request_timeout_ms=ANSWER_MS
        )
    except KafkaError:
        return False
    try:
        return bool(client.describe_cluster()["brokers"])
    except KafkaError:
        return False
    finally:
        client.close()


def prepare(data: Path, say: Say) -> None:
    """Have the jars and formatted storage; raises StackError with the last lines of the tool that failed."""
    jars = fetch_jars(say)
    folder = folder_of(data)
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / "logs").exists():
        return
    say("kafka: formatting its storage")
    for leftover in folder.glob("new-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    new = Path(tempfile.mkdtemp(prefix="new-", dir=folder))
    properties = new / "server.properties"
    write_properties(properties, {"broker": 1, "controller": 2}, new / "logs")
    cluster_id = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    tool = ("java", "-cp", f"{jars}/*", "kafka.tools.StorageTool", "format", "--standalone")
    # One word, since an id may begin with a dash.
    processes.run((*tool, f"--cluster-id={cluster_id}", "--config", str(properties)))
    (new / "logs").rename(folder / "logs")
    shutil.rmtree(new)


def launch(data: Path, ports: Ports) -> Launch:
    """The broker on its storage; the properties are written anew for the ports of this start."""
    folder = folder_of(data)
    write_properties(folder / "server.properties", ports, folder / "logs")
    java = ("java", *JVM, f"-Dlog4j2.configurationFile={TEMPLATES / 'log4j2.xml'}")
    command = (*java, "-cp", f"{jars_folder()}/*", "kafka.Kafka", str(folder / "server.properties"))
    return Launch(command=command, environment=os.environ, folder=folder)


def write_properties(path: Path, ports: Ports, logs: Path) -> None:
    """Fill in the template; raises KeyError when it asks for a value nobody gives."""
    template = string.Template((TEMPLATES / "server.properties").read_text())
    path.write_text(template.substitute(ports, logs=logs))


def require_tools() -> None:
    """Raise StackError that names what is missing, in one line: Java always, Maven while the jars are not fetched."""
    needed = {f"Java {JAVA_MAJOR_MIN} or newer": (JAVA_PACKAGE, find_java() is None)}
    needed["Maven"] = (MAVEN_PACKAGE, shutil.which("mvn") is None and not jars_folder().exists())
    missing = {tool: package for tool, (package, is_missing) in needed.items() if is_missing}
    if missing:
        what = " and ".join(missing)
        raise StackError(f"Kafka needs {what}; install with: sudo apt-get install -y {' '.join(missing.values())}")


def find_java() -> str | None:
    """The java command; None when there is none or it is too old."""
    java = shutil.which("java")
    if java is None:
        return None
    version = re.search(r'version "(\d+)', processes.run((java, "-version")))
    return java if version is not None and int(version[1]) >= JAVA_MAJOR_MIN else None


def fetch_jars(say: Say) -> Path:
    """The folder with Kafka's jars, fetched by Maven at the first call; two callers at once fetch them once.

    Raises StackError with the last lines Maven printed when it failed.
    """
    if jars_folder().exists():
        return jars_folder()
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not jars_folder().exists():
            say(f"kafka: fetching Kafka {VERSION} (43 MB, once)")
            new = Path(tempfile.mkdtemp(prefix="new-", dir=CACHE))
            fetch = ("mvn", "-q", "-B", "-f", str(TEMPLATES / "pom.xml"), "dependency:copy-dependencies")
            processes.run((*fetch, f"-DoutputDirectory={new / 'libs'}"))
            (new / "libs").rename(jars_folder())
            new.rmdir()
    return jars_folder()


def jars_folder() -> Path:
    """Where the jars are, once they have been fetched."""
    return CACHE / "libs"


def folder_of(data: Path) -> Path:
    """What belongs to Kafka in a data folder."""
    return data / NAME
