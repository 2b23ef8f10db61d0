"""Errors that pass: the same work may succeed later, so it is tried again and never parked."""

from kernel.errors import DeadlinePassed, Overloaded, StoreUnavailable, VersionConflict
from kernel.store.connections import is_away

PASSING = (StoreUnavailable, Overloaded, VersionConflict, DeadlinePassed)


class FenceLost(Exception):  # noqa: N818 - names the finding
    """This process has not heard from its transaction for so long that another one may be at work."""


class BatchTimeSpent(Exception):  # noqa: N818 - names the finding
    """The batch's time is over before its work is; what is done stays done."""


def is_passing(error: BaseException) -> bool:
    """A group of errors passes when one of them does: alone, the others come again and are judged then."""
    if isinstance(error, BaseExceptionGroup):
        return any(map(is_passing, error.exceptions))
    return is_away(error) or isinstance(error, (*PASSING, FenceLost, BatchTimeSpent))
