"""The one error the local stack shows a person."""


class StackError(Exception):
    """Something the person at the keyboard can put right; the message says what and how.

    The first line stands alone. Lines after it, where there are any, are the last lines of a log.
    """
