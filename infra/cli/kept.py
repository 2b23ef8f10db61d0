"""What an import leaves beside its file: lines it could not take, and roles it had to guess."""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from holdspace.messaging.v1.service_pb2 import GuessedRoles, RejectedLine
from infra.cli.errors import ASKED_WRONGLY, CommandError


class Rejects:
    """Lines that were rejected, by rising number, and how far this run has looked."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self.looked_to = 0

    def add(self, rejected: Iterable[RejectedLine]) -> None:
        for each in rejected:
            self._file.write(f"{json.dumps({'line': each.line, 'reason': each.reason, 'field': each.field})}\n")
        self._file.flush()


@contextmanager
def keeping_rejects(path: Path) -> Iterator[Rejects]:
    """Keeps the rejects of a run in the file once it ends; without any there is no file.

    What an earlier run rejected stays until this one has looked at those lines: one that is interrupted leaves the rest
    of the earlier ones behind its own.
    """
    earlier = _lines_of(path)
    fresh = path.with_name(f"{path.name}.new")
    try:
        file = fresh.open("w")
    except OSError as error:
        raise CommandError(f"{fresh} cannot be written: {error.strerror}", ASKED_WRONGLY) from error
    rejects = Rejects(file)
    is_done = False
    try:
        with file:
            yield rejects
            is_done = True
    finally:
        if not is_done:
            with fresh.open("a") as more:
                more.writelines(line for line in earlier if json.loads(line)["line"] > rejects.looked_to)
        if fresh.stat().st_size:
            fresh.replace(path)
        else:
            fresh.unlink()
            path.unlink(missing_ok=True)


def _lines_of(path: Path) -> list[str]:
    """Raises CommandError when there is a file of this name that no import wrote."""
    try:
        lines = path.read_text().splitlines(keepends=True)
        if all(isinstance(json.loads(line)["line"], int) for line in lines):
            return lines
    except FileNotFoundError:
        return []
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}", ASKED_WRONGLY) from error
    except (ValueError, KeyError, TypeError):
        pass
    raise CommandError(f"{path} is no file of rejected lines: move it away", ASKED_WRONGLY)


class Guesses:
    """Conversations whose therapist was guessed, each once. Their file is made with the first."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known: set[str] = set()

    def __len__(self) -> int:
        return len(self._known)

    def add(self, guessed: Iterable[GuessedRoles]) -> None:
        new = [each for each in guessed if each.conversation_id not in self._known]
        if not new:
            return
        with self.path.open("a" if self._known else "w") as file:
            for each in new:
                roles = {"client": each.client_id, "therapist": each.therapist_id}
                file.write(f"{json.dumps({'conversation': each.conversation_id, **roles})}\n")
        self._known.update(each.conversation_id for each in new)
