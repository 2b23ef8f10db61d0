"""The numbers of the response rules: data with a version, in force from an instant on.

They are set for the future only. So what was decided under a policy stays decided under it, and another one is tried on
the same past by giving it in place of those that were in force.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

BEGINNING = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Policy:
    """`first_target` also says how soon after the client's first message a report is made straight away."""

    version: str = "default"
    first_target: timedelta = timedelta(hours=24)
    next_target: timedelta = timedelta(hours=24)
    undecided_max: timedelta = timedelta(days=7)  # from the report on; then it counts as dismissed for later waits
    sample_min: int = 10  # closed waits; below it a figure gives no rank
    return_max: timedelta = timedelta(days=7)  # a wait that was owed no reply comes back when the client asks again
    in_force_from: datetime = BEGINNING


DEFAULT = Policy()


@dataclass(frozen=True, slots=True)
class Policies:
    """`known`: in the order they were set, the one that ships with the code first."""

    known: tuple[Policy, ...] = (DEFAULT,)

    def at(self, instant: datetime) -> Policy:
        """Returns the policy in force: the last to begin, of several that begin together the last that was set."""
        if len(self.known) == 1:
            return self.known[0]
        begun = [(policy.in_force_from, number) for number, policy in enumerate(self.known)]
        return self.known[max(each for each in begun if each[0] <= instant)[1]]

    def find(self, version: str) -> Policy | None:
        return next((policy for policy in self.known if policy.version == version), None)

    def of(self, version: str) -> Policy:
        """Raises KeyError for a version that was never set."""
        found = self.find(version)
        if found is None:
            raise KeyError(version)
        return found

    def also(self, policy: Policy) -> "Policies":
        return Policies((*self.known, policy))


def only(policy: Policy) -> Policies:
    """Returns what would be, had this policy always been in force."""
    return Policies((replace(policy, in_force_from=BEGINNING),))
