"""What the local stack remembers between two commands: `stack.json` in its data folder."""

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from infra.local.processes import Identity
from infra.local.stack_error import StackError

LOCK_SECONDS = 300.0
LOCK_POLL_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Entry:
    """One program of the stack: its ports by name, the signal that ends it, and its process while it should run."""

    ports: Mapping[str, int]
    stop_signal: str
    process: Identity | None = None


Stack = dict[str, Entry]


def load(data: Path) -> Stack:
    """The entries by program name, in the order they were first started; empty when there was never a stack.

    Processes noted before the last boot of the machine are forgotten, their ports kept. Raises StackError on a file
    that cannot be read as a stack.
    """
    try:
        stored = json.loads(path_of(data).read_text())
        is_same_boot = stored["boot"] == boot_id()
        return {name: read_entry(fields, is_same_boot) for name, fields in stored["entries"].items()}
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError) as error:
        raise StackError(f"{path_of(data)} is damaged; end what it lists by hand, then delete it.") from error


def read_entry(fields: dict[str, object], is_same_boot: bool) -> Entry:
    """One entry from its JSON object; raises TypeError when a field is missing or unknown."""
    entry = Entry(**fields)  # type: ignore[arg-type]  # checked by the constructor's own parameter names
    if entry.process is None or not is_same_boot:
        return replace(entry, process=None)
    return replace(entry, process=Identity(**entry.process))  # type: ignore[arg-type]  # still JSON here


def save(data: Path, stack: Stack) -> None:
    """Write the stack in one step: a reader, or a power cut, sees the former file or the new one."""
    entries = {name: asdict(entry) for name, entry in stack.items()}
    temporary = path_of(data).with_suffix(".json.new")
    with temporary.open("w") as file:
        json.dump({"boot": boot_id(), "entries": entries}, file, indent=2)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path_of(data))


def put(data: Path, name: str, entry: Entry) -> None:
    """Store one entry; the lock must be held."""
    save(data, {**load(data), name: entry})


@contextlib.contextmanager
def locked(data: Path) -> Iterator[None]:
    """Let one command at a time change the stack; the lock ends with the process that holds it, however it ends.

    Creates the data folder. Raises StackError when another command holds the lock for longer than a start can take.
    """
    data.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + LOCK_SECONDS
    with (data / "stack.lock").open("a") as file:
        while not try_lock(file.fileno()):
            if time.monotonic() > deadline:
                raise StackError(f"Another command has been changing the stack in {data} for {LOCK_SECONDS:.0f} s.")
            time.sleep(LOCK_POLL_SECONDS)
        yield


def try_lock(descriptor: int) -> bool:
    """Take the lock if nobody has it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def path_of(data: Path) -> Path:
    """Where the stack of a data folder is stored."""
    return data / "stack.json"


def boot_id() -> str:
    """Names the running boot of the machine where the kernel does (Linux), and is empty elsewhere."""
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return ""
