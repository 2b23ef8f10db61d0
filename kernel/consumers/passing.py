"""Errors that pass: the same work may succeed later, so it is tried again and never parked."""

import asyncpg

from kernel.errors import DeadlinePassed, Overloaded, StoreUnavailable, VersionConflict
from kernel.store.connections import LOST, TRANSIENT

PASSING = (StoreUnavailable, Overloaded, VersionConflict, DeadlinePassed, *LOST, *TRANSIENT)


class FenceLost(Exception):  # noqa: N818 - names the finding
    """This process has not heard from its transaction for so long that another one may be at work."""


class BatchTimeSpent(Exception):  # noqa: N818 - names the finding
    """The batch's time is over before its work is; what is done stays done."""


def is_passing(error: BaseException) -> bool:
    """A group of errors passes when one of them does: alone, the others come again and are judged then.

    A closed connection is an InterfaceError; of those only wrong arguments (a ValueError) are the work's fault.
    """
    if isinstance(error, BaseExceptionGroup):
        return any(map(is_passing, error.exceptions))
    is_closed = isinstance(error, asyncpg.InterfaceError) and not isinstance(error, ValueError)
    return is_closed or isinstance(error, (*PASSING, FenceLost, BatchTimeSpent))
