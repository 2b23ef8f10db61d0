"""What the checker reports."""

from typing import NamedTuple


class Violation(NamedTuple):
    """`invariant`: its name, the same in docs/reliability.md. `about`: what it was found in."""

    invariant: str
    about: str
    found: str

    def __str__(self) -> str:
        return f"{self.invariant}: {self.about}: {self.found}"
