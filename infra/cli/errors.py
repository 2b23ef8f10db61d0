"""What an operator is told when a command cannot be done: one line, and an exit code."""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import asyncpg
import click

from kernel.store.connections import LOST

FAILED = 1
ASKED_WRONGLY = 2
INCOMPLETE = 3  # done to the end, but not all of it could be


class CommandError(click.ClickException):
    """Ends the command with one line on standard error."""

    def __init__(self, message: str, exit_code: int = FAILED) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class NotMigrated(CommandError):  # noqa: N818 - names the finding
    """The database lacks what a service's role migrate would create."""


@contextmanager
def using_database(url: str) -> Iterator[None]:
    """What the database does not let us do becomes a CommandError. It names host and port, never the password."""
    place = place_of(url)
    try:
        yield
    except BrokenPipeError:
        raise  # Whoever read what we print has left; the database has nothing to do with it.
    except LOST as error:
        raise CommandError(f"The database at {place} does not answer: {cause(error)}") from error
    except (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError) as error:
        hint = "start the service with the role migrate"
        raise NotMigrated(f"The database at {place} is not migrated ({cause(error)}): {hint}") from error
    except asyncpg.InvalidParameterValueError as error:  # The role of the service does not exist.
        hint = "run holdspace database prepare"
        raise NotMigrated(f"The database at {place} is not prepared ({cause(error)}): {hint}") from error
    except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise CommandError(f"The database at {place} refused: {cause(error)}") from error


def place_of(url: str) -> str:
    """Returns host:port of a URL."""
    try:
        parts = urlsplit(url)
        return f"{parts.hostname}:{parts.port or 5432}"
    except ValueError:
        raise CommandError("HOLDSPACE_DATABASE_URL is not a URL: postgresql://user@host:port/name", 2) from None


def cause(error: BaseException) -> str:
    """Returns the first line of an error; its kind where it has no text."""
    return (str(error).splitlines() or [type(error).__name__])[0]
