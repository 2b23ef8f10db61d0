"""The kinds of error. Any other is a fault of the program: it ends the role, or parks the record in a consumer."""

from datetime import timedelta


class Rejected(Exception):  # noqa: N818 - a rejection is an answer, not a fault
    """A rule said no.

    Takes a reason in upper snake case, declared as an enum value in a proto file with its gRPC status, and the request
    field at fault, if one is.
    """

    def __init__(self, reason: str, field: str = "", *, retry_after: timedelta | None = None) -> None:
        super().__init__(f"{reason} {field}".strip())
        self.reason = reason
        self.field = field
        self.retry_after = retry_after


class VersionConflict(Exception):  # noqa: N818 - the field's term
    """What a decision rested on moved, again and again, for as many attempts as are allowed."""


class Poison(Exception):  # noqa: N818 - the field's term
    """A record that cannot be taken in, now or later; its consumer parks it."""


class StoreUnavailable(Exception):  # noqa: N818 - the field's term
    """The store could not be reached in time. Whether an append took effect is found out by its request."""


class ClockOff(StoreUnavailable):
    """This process's clock is not the store's: it must not decide now, and may later."""


class Overloaded(Exception):  # noqa: N818 - the field's term
    """More appends wait than the queue takes."""


class DeadlinePassed(Exception):  # noqa: N818 - the field's term
    """The caller's deadline went by before its append was sent."""


class WrongSetting(Exception):  # noqa: N818 - reads as what it says
    """One or more settings are wrong; the message names all of them."""
