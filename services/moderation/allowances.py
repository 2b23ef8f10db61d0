"""Whether the reporters that a suspension rests on may suspend somebody more by themselves.

Each is asked for in their own stream, one question after the other, so that of any number at the same moment no more
are allowed than the policy says. What is allowed and then not used counts all the same: a person is asked sooner.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

from kernel.commands import CommandPath, Handled
from kernel.errors import VersionConflict
from kernel.facts import Origin
from kernel.requests import reaction_request
from kernel.store.interface import Request
from services.moderation.domain.reporter import AskToSuspend, Reporter
from services.moderation.domain.reporting import Allowed, NotAsked, ReportClient, TakeStock

ROUNDS_MAX = 8  # more reporters come to be asked for only when others report at the same moment

Asking = TypeVar("Asking", ReportClient, TakeStock)


async def run_asking(
    path: CommandPath, command: ReportClient, request: Request, origin: Origin, deadline: float | None
) -> Handled:
    """Runs a report as `CommandPath.run` does, asking for its reporters where it suspends."""
    for number in range(ROUNDS_MAX):
        try:
            return await path.run(command, request, origin, deadline)
        except NotAsked as due:
            cause = f"{command.report_id}/{command.now.isoformat()}/{number}"
            command = await with_answers(path, command, due.reporter_ids, cause)
    raise VersionConflict(f"report {command.report_id}: other reporters all the time")


async def with_answers(path: CommandPath, command: Asking, reporter_ids: Sequence[str], cause: str) -> Asking:
    """Returns the command with an answer for each of the reporters. `cause`: each asks once for each of them."""
    allowed: Allowed = {reporter_id: await allows(path, reporter_id, command, cause) for reporter_id in reporter_ids}
    return replace(command, allowed=allowed)


async def allows(path: CommandPath, reporter_id: str, command: ReportClient | TakeStock, cause: str) -> bool:
    asked = AskToSuspend(reporter_id, command.client_id, command.policy, command.now)
    handled = await path.run(asked, reaction_request("ask-to-suspend", cause, reporter_id, command.client_id))
    reporter: Reporter = handled.state
    return command.client_id in reporter.people_suspended(command.policy, command.now)
