"""A mutant's trial: the tests that reach it run against it, in a process of its own, until one fails.

The tests of a service are collected and run once, to see which lines each reaches. Then a process is forked for each
mutant. There, a function's code is replaced where it stands, so that whoever holds the function calls the mutant. A
change outside functions takes effect when its module is imported, so its process imports the service anew.
"""

import json
import os
import resource
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from importlib.machinery import SourceFileLoader
from types import CodeType, FrameType
from typing import Any

import pytest
from _pytest.runner import runtestprotocol
from hypothesis import HealthCheck, settings

from tests.mutation.changes import Mutant
from tests.mutation.patching import function_of, replace_code

EXAMPLES_MAX = 30  # of each property: enough to kill what any of them kills, at the cost of what only rare ones do
CPU_SECONDS = 10  # beyond what the tests take unchanged; a mutant that needs more never ends
WALL_SECONDS = 300
MEMORY_BYTES = 4 << 30

settings.register_profile(
    "mutants",
    max_examples=EXAMPLES_MAX,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


Line = tuple[str, int]
"""A file and a line of it."""


class Outcome(Enum):
    KILLED = "killed"
    SURVIVED = "survived"
    ENDLESS = "endless"  # killed by the limits of its process


class TestsFail(Exception):  # noqa: N818 - names the finding
    """The tests do not pass on the code as it is."""


@dataclass(frozen=True, slots=True)
class Trial:
    """`name`: the module's name to import it by. `code`: the whole module, changed."""

    module: str
    file: str
    mutant: Mutant
    code: CodeType

    @property
    def lines(self) -> list[Line]:
        return [(self.file, line) for line in range(self.mutant.first, self.mutant.last + 1)]


def arguments(tests: Sequence[str]) -> list[str]:
    quiet = ["-q", "-x", "-p", "no:cacheprovider", "-p", "no:logging", "--no-header", "--no-summary"]
    return [*tests, *quiet, "--timeout=0", "--hypothesis-profile=mutants"]


@dataclass(slots=True)
class Warm:
    """A pytest plugin that runs trials of functions in place of a second run. It tells what it finds out: first a file
    with the ids of the tests that reach it, the quickest first, then a trial's place and outcome.
    """

    trials: Sequence[Trial]
    jobs: int
    tell: Callable[[str | int, Any], None]
    reached: dict[Line, set[int]] = field(default_factory=lambda: defaultdict(set))
    seconds: list[float] = field(default_factory=list)

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        if session.testsfailed:
            raise TestsFail("not collected")
        _fewer_examples(session.items)
        self._run_once(session.items)
        for file in {trial.file for trial in self.trials}:
            lines = [line for line in self.reached if line[0] == file]
            self.tell(file, [item.nodeid for item in self._reaching(session.items, lines)])
        running: dict[int, int] = {}
        for number, trial in enumerate(self.trials):
            while len(running) >= self.jobs:
                self._await_one(running)
            items = self._reaching(session.items, trial.lines)
            if items:
                running[_forked(lambda trial=trial, items=items: _passes(trial, items), self._limit(items))] = number
            else:
                self.tell(number, Outcome.SURVIVED.value)
        while running:
            self._await_one(running)
        return True

    def _run_once(self, items: Sequence[pytest.Item]) -> None:
        files = {trial.file for trial in self.trials}
        for number, item in enumerate(items):
            began = time.process_time()
            with _lines(files) as reached:
                reports = runtestprotocol(item, log=False, nextitem=_next(items, number))
            if any(report.failed for report in reports):
                raise TestsFail(item.nodeid)
            self.seconds.append(time.process_time() - began)
            for line in reached:
                self.reached[line].add(number)

    def _reaching(self, items: Sequence[pytest.Item], lines: Sequence[Line]) -> list[pytest.Item]:
        """Returns the tests that reach any of the lines, the quickest first."""
        found = set().union(*(self.reached.get(line, ()) for line in lines))
        return [items[number] for number in sorted(found, key=lambda number: self.seconds[number])]

    def _limit(self, items: Sequence[pytest.Item]) -> float:
        return CPU_SECONDS + 5 * sum(self.seconds)

    def _await_one(self, running: dict[int, int]) -> None:
        pid, outcome = _ended()
        self.tell(running.pop(pid), outcome.value)


def fresh(trial: Trial, tests: Sequence[str]) -> Outcome:
    """Tries a mutant in a process that has imported nothing of the project yet."""

    def passes() -> bool:
        read = SourceFileLoader.get_code

        def get_code(loader: SourceFileLoader, name: str) -> CodeType | None:
            return trial.code if name == trial.module else read(loader, name)

        SourceFileLoader.get_code = get_code  # type: ignore[method-assign]
        return pytest.main(arguments(tests), plugins=[FewerExamples()]) == pytest.ExitCode.OK

    _forked(passes, WALL_SECONDS)
    return _ended()[1]


class FewerExamples:
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        _fewer_examples(session.items)


def _fewer_examples(items: Sequence[pytest.Item]) -> None:
    """Holds properties that ask for more examples to the limit too."""
    for item in items:
        function: Any = getattr(item, "function", None)
        own = getattr(function, "_hypothesis_internal_use_settings", None)
        if own is not None:
            fewer = settings(
                own,
                max_examples=min(own.max_examples, EXAMPLES_MAX),
                derandomize=True,
                database=None,
                suppress_health_check=list(HealthCheck),
            )
            function._hypothesis_internal_use_settings = fewer


def _next(items: Sequence[pytest.Item], number: int) -> pytest.Item | None:
    return items[number + 1] if number + 1 < len(items) else None


def _passes(trial: Trial, items: Sequence[pytest.Item]) -> bool:
    replace_code(trial.module, trial.mutant.function, trial.code)
    for number, item in enumerate(items):
        if any(report.failed for report in runtestprotocol(item, log=False, nextitem=_next(items, number))):
            return False
    return True


@contextmanager
def _lines(files: set[str]) -> Iterator[set[Line]]:
    """Notes which lines of the files run meanwhile, in this thread."""
    reached: set[Line] = set()

    def line(frame: FrameType, event: str, _: object) -> Any:
        reached.add((frame.f_code.co_filename, frame.f_lineno))
        return line

    def call(frame: FrameType, event: str, _: object) -> Any:
        return line(frame, event, None) if frame.f_code.co_filename in files else None

    before = sys.gettrace()
    sys.settrace(call)
    try:
        yield reached
    finally:
        sys.settrace(before)


def _forked(passes: Callable[[], bool], cpu_seconds: float) -> int:
    """Runs in a process of its own, silent and within limits; returns its id. Its exit code is 0 when it passes."""
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return pid
    passed = False
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        signal.signal(signal.SIGPROF, signal.SIG_DFL)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_PROF, cpu_seconds)
        signal.setitimer(signal.ITIMER_REAL, WALL_SECONDS)
        passed = passes()
    finally:
        os._exit(0 if passed else 1)


def _ended() -> tuple[int, Outcome]:
    pid, status = os.wait()
    if os.WIFSIGNALED(status):
        return pid, Outcome.ENDLESS
    return pid, Outcome.SURVIVED if os.WEXITSTATUS(status) == 0 else Outcome.KILLED


def tried(trials: Sequence[Trial], tests: Sequence[str], jobs: int) -> Mapping[int, Outcome]:
    """Tries mutants against the tests of their service, those of functions first. Raises TestsFail."""
    outcomes: dict[int, Outcome] = {}
    reaching: dict[str, Sequence[str]] = {}
    for of, told in _told_warm(trials, tests, jobs):
        if isinstance(of, str):
            reaching[of] = told
        else:
            outcomes[of] = Outcome(told)
    for number, trial in enumerate(trials):
        if number not in outcomes:
            # No test reaches a line of a module that only has numbers: all of them may show.
            outcomes[number] = fresh(trial, reaching.get(trial.file) or tests)
    return outcomes


def _told_warm(trials: Sequence[Trial], tests: Sequence[str], jobs: int) -> Iterator[tuple[str | int, Any]]:
    """Yields what `Warm` tells. The service is imported in a process of its own."""
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(reading)
        code = 1
        try:
            with os.fdopen(writing, "w") as told:
                code = _warm(trials, tests, jobs, told)
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading) as told:
        yield from map(json.loads, told)
    _, status = os.waitpid(pid, 0)
    if status:
        raise TestsFail(" ".join(tests))


def _warm(trials: Sequence[Trial], tests: Sequence[str], jobs: int, told: Any) -> int:
    numbers = [n for n, trial in enumerate(trials) if function_of(trial.module, trial.mutant.function)]

    def tell(of: str | int, what: Any) -> None:
        told.write(json.dumps([of if isinstance(of, str) else numbers[of], what]) + "\n")
        told.flush()

    plugin = Warm([trials[number] for number in numbers], jobs, tell)
    return int(pytest.main(arguments(tests), plugins=[plugin]))
