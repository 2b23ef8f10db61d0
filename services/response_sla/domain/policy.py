"""The numbers of the response rules. They arrive as data, so that another policy can be tried on the same past."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Policy:
    """`first_target` also says how soon after the client's first message a report is made straight away."""

    first_target: timedelta = timedelta(hours=24)
    next_target: timedelta = timedelta(hours=24)
    undecided_max: timedelta = timedelta(days=7)  # from the report on; then it counts as dismissed for later waits
    sample_min: int = 10  # closed waits; below it a figure gives no rank
