"""Start and end processes so that none is lost and no stranger is ever killed.

Two things go wrong with pid files: a starter killed between the start and the note leaves a process nobody knows, and a
pid noted yesterday belongs to somebody else today. The gate below removes the first, the start time the second.
"""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from infra.local.stack_error import StackError

# Held back until its pid is on disk: the shell waits for one line, and an end of file (our death) makes it leave.
GATE = 'cd "$1" && shift && read -r go && exec "$@" </dev/null'

START_TIME_TOLERANCE_SECONDS = 1.5  # the kernel gives its boot time in whole seconds
POLL_SECONDS = 0.02
KILL_SECONDS = 10.0
LOG_BYTES_MAX = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Identity:
    """One process, told apart from a later one with the same pid.

    `started_seconds` counts from the boot of the machine, so that a corrected wall clock does not disown our processes.
    """

    pid: int
    started_seconds: float


@dataclass(frozen=True, slots=True)
class Launch:
    """What to execute: the command, its complete environment, its working folder, and a uid to give root up for."""

    command: tuple[str, ...]
    environment: Mapping[str, str]
    folder: Path
    uid: int | None = None


def spawn(launch: Launch, log: Path, record: Callable[[Identity], None]) -> None:
    """Start a process of its own session that appends to `log`, once `record` has stored who it is.

    Raises OSError when it cannot be started, and whatever `record` raises (the process is then never let through).
    """
    keep_small(log)
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603  the stack's own commands, never input from outside
            ["/bin/sh", "-c", GATE, "sh", str(launch.folder), *launch.command],
            env=dict(launch.environment),
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            user=launch.uid,
            group=launch.uid,
            extra_groups=None if launch.uid is None else [],
        )
    with process.stdin or contextlib.nullcontext() as gate:
        record(Identity(process.pid, started_seconds(psutil.Process(process.pid))))
        if gate is not None:
            gate.write(b"go\n")


def run(
    command: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    uid: int | None = None,
    timeout_seconds: float = 600,
) -> str:
    """Run a command to its end and return what it printed; raises StackError with its last lines when it fails.

    Environment, working folder and user are ours unless given.
    """
    try:
        done = subprocess.run(  # noqa: S603  the stack's own commands, never input from outside
            list(command),
            env=environment,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=timeout_seconds,
            user=uid,
            group=uid,
            extra_groups=None if uid is None else [],
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise StackError(f"{command[0]} could not be run: {error}") from error
    if done.returncode != 0:
        raise StackError("\n".join([f"{Path(command[0]).name} failed:", *done.stdout.splitlines()[-8:]]))
    return str(done.stdout)


def keep_small(log: Path) -> None:
    """Begin a log anew when the last one has grown past its limit; one former log is kept beside it."""
    if log.exists() and log.stat().st_size > LOG_BYTES_MAX:
        log.replace(log.with_suffix(".log.1"))


def started_seconds(process: psutil.Process) -> float:
    """When the process started, in seconds since the boot of the machine."""
    return process.create_time() - psutil.boot_time()


def find(identity: Identity) -> psutil.Process | None:
    """The living process of this identity; None when it has ended or its pid belongs to another process now."""
    try:
        process = psutil.Process(identity.pid)
        is_ours = abs(started_seconds(process) - identity.started_seconds) < START_TIME_TOLERANCE_SECONDS
        return process if is_ours and process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.NoSuchProcess:
        return None


def stop(identity: Identity, how: signal.Signals, patience_seconds: float) -> None:
    """End a process and its children: first asked with `how`, killed when they have not left in time.

    Returns when all of them are gone; does nothing when the process is gone already. Raises StackError when it belongs
    to another user or survives SIGKILL.
    """
    process = find(identity)
    if process is None:
        return
    try:
        family = [process, *process.children(recursive=True)]
        process.send_signal(how)
        if how is not signal.SIGKILL:
            wait_gone(family, patience_seconds)
        for member in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()
    except psutil.NoSuchProcess:
        return
    except psutil.AccessDenied as error:
        raise StackError(f"Process {identity.pid} was started by another user; stop the stack as that user.") from error
    if not wait_gone(family, KILL_SECONDS):
        raise StackError(f"Process {identity.pid} does not end, not even by SIGKILL.")


def wait_gone(processes: Sequence[psutil.Process], patience_seconds: float) -> bool:
    """Wait until every process has ended; False when the patience ends first."""
    deadline = time.monotonic() + patience_seconds
    while not all(is_gone(process) for process in processes):
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def is_gone(process: psutil.Process) -> bool:
    """Whether the process has ended. One that only waits for its parent to notice has; ours are noticed here.

    A killed process with many threads looks like that while the last of them still hold its files and ports.
    """
    try:
        if process.is_running() and (process.status() != psutil.STATUS_ZOMBIE or process.num_threads() > 1):
            return False
    except psutil.NoSuchProcess:
        return True
    with contextlib.suppress(ChildProcessError):
        os.waitpid(process.pid, os.WNOHANG)
    return True
