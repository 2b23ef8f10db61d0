"""Keep a set of programs running: start what is missing, find what runs, stop what was started.

Every function here expects the lock of `infra.local.state` to be held, except `await_ready` and `log_tail`.
"""

import signal
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from infra.local import ports, processes, state
from infra.local.processes import Launch
from infra.local.stack_error import StackError

Say = Callable[[str], None]
Ports = Mapping[str, int]

READY_POLL_SECONDS = 0.05
TAIL_LINES = 12


@dataclass(frozen=True, slots=True)
class Program:
    """A kind of process the stack runs.

    `prepare` makes what it needs on disk and may run twice; `launch` says how to execute it; `is_ready` asks it a real
    question and never raises. `launch` and `is_ready` receive its ports by the names in `port_names`.
    """

    name: str
    port_names: tuple[str, ...]
    stop_signal: signal.Signals
    stop_seconds: float
    ready_seconds: float
    prepare: Callable[[Path, Say], None]
    launch: Callable[[Path, Ports], Launch]
    is_ready: Callable[[Ports], bool]


def ensure(data: Path, programs: Sequence[Program], say: Say) -> None:
    """Have all programs running and answering, whatever an earlier command left behind.

    Raises StackError when one cannot be prepared, dies at its start, or does not answer in time.
    """
    missing = [program for program in programs if not is_running(data, program.name)]
    for program in missing:
        reserve(data, program)
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda program: program.prepare(data, say), missing))
    for program in missing:
        launch(data, program)
    for program in programs:
        if program in missing:
            await_ready(data, program)
            say(f"{program.name} started: {address(data, program.name)}")
        elif answers_soon(data, program):
            say(f"{program.name} found running: {address(data, program.name)}")
        else:
            restart(data, program)
            say(f"{program.name} did not answer and was started again: {address(data, program.name)}")


def start(data: Path, program: Program) -> None:
    """Start a stopped program on the ports it had and wait until it answers; does nothing when it runs.

    Raises StackError when it was never started, a port of it has been taken since, or like `await_ready`.
    """
    if program.name not in state.load(data):
        raise StackError(f"{program.name} was never started in {data}; run up first.")
    if not is_running(data, program.name):
        launch(data, program)
    await_ready(data, program)


def restart(data: Path, program: Program) -> None:
    """Stop a program that runs without answering and start it on the same ports; raises StackError like `ensure`."""
    stop(data, program)
    start(data, program)


def launch(data: Path, program: Program) -> None:
    """Start one program on its reserved ports and note it; raises StackError when a port was taken since."""
    entry = state.load(data)[program.name]
    for port in entry.ports.values():
        if not ports.is_free(port):
            raise StackError(f"Port {port} of {program.name} is taken by another program.")
    log = log_path(data, program.name)
    log.parent.mkdir(parents=True, exist_ok=True)
    processes.spawn(
        program.launch(data, entry.ports),
        log,
        record=lambda identity: state.put(data, program.name, replace(entry, process=identity)),
    )


def reserve(data: Path, program: Program) -> None:
    """Note the program's ports: those it had, so that addresses survive a restart, or new ones when one was taken."""
    stack = state.load(data)
    former = stack[program.name].ports if program.name in stack else {}
    if set(former) == set(program.port_names) and all(ports.is_free(port) for port in former.values()):
        return
    taken = {port for entry in stack.values() for port in entry.ports.values()}
    chosen: dict[str, int] = {}
    for name in program.port_names:
        chosen[name] = ports.choose({*taken, *chosen.values()})
    state.put(data, program.name, state.Entry(ports=chosen, stop_signal=program.stop_signal.name))


def await_ready(data: Path, program: Program) -> None:
    """Wait until the program answers; raises StackError with its last log lines when it died or the time is over."""
    entry = state.load(data)[program.name]
    deadline = time.monotonic() + program.ready_seconds
    while not program.is_ready(entry.ports):
        if entry.process is None or processes.find(entry.process) is None:
            raise StackError("\n".join([f"{program.name} died at its start:", *log_tail(data, program.name)]))
        if time.monotonic() > deadline:
            late = f"{program.name} did not answer within {program.ready_seconds:.0f} s:"
            raise StackError("\n".join([late, *log_tail(data, program.name)]))
        time.sleep(READY_POLL_SECONDS)


def answers_soon(data: Path, program: Program) -> bool:
    """Whether a program found running answers, be it at the end of a start that another command began."""
    try:
        await_ready(data, program)
    except StackError:
        return False
    return True


def stop(data: Path, program: Program, how: signal.Signals | None = None) -> None:
    """End one program and note it; `how` replaces its usual signal. Ports stay remembered."""
    entry = state.load(data).get(program.name)
    if entry is None or entry.process is None:
        return
    processes.stop(entry.process, how or program.stop_signal, program.stop_seconds)
    state.put(data, program.name, replace(entry, process=None))


def stop_all(data: Path, names: Sequence[str], patience_seconds: float) -> None:
    """End the named programs at the same time, each with the signal noted for it; raises StackError like `stop`."""
    stack = state.load(data)
    running = {name: entry for name, entry in stack.items() if name in names and entry.process is not None}

    def end(entry: state.Entry) -> None:
        if entry.process is not None:
            processes.stop(entry.process, signal.Signals[entry.stop_signal], patience_seconds)

    with ThreadPoolExecutor() as pool:
        list(pool.map(end, running.values()))
    state.save(data, {**stack, **{name: replace(entry, process=None) for name, entry in running.items()}})


def is_running(data: Path, name: str) -> bool:
    """Whether the process noted for this program lives."""
    entry = state.load(data).get(name)
    return entry is not None and entry.process is not None and processes.find(entry.process) is not None


def address(data: Path, name: str) -> str:
    """The program's ports as a person wants to read them."""
    entry = state.load(data)[name]
    return ", ".join(f"{port_name} {ports.LOOPBACK}:{port}" for port_name, port in entry.ports.items())


def log_path(data: Path, name: str) -> Path:
    """The file everything a program prints is appended to."""
    return data / "logs" / f"{name}.log"


def log_tail(data: Path, name: str, lines: int = TAIL_LINES) -> list[str]:
    """The last lines of a program's log, without line ends; empty when it never wrote one."""
    path = log_path(data, name)
    return path.read_text(errors="replace").splitlines()[-lines:] if path.exists() else []
