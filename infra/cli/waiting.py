"""Waiting until the figures of response-sla contain what other services have stored."""

import asyncio
from collections.abc import Sequence

import click

from holdspace.response_sla.v1.service_pb2 import GetProgressRequest, GetProgressResponse
from holdspace.response_sla.v1.service_pb2_grpc import ResponseSlaServiceStub
from infra.cli.calls import insist
from infra.cli.errors import CommandError
from infra.cli.progress import showing
from kernel.grpc.revision import Revision

POLL_SECONDS = 0.25
STILL_SECONDS_MAX = 120.0  # without any progress; while it moves, a backlog of any size is waited for


async def until_in_figures(stub: ResponseSlaServiceStub, revisions: Sequence[Revision]) -> None:
    """Returns when every revision is in the figures; says on standard error how far they are.

    Raises CommandError when nothing moves any more.
    """
    request = GetProgressRequest(revisions=[revision.encode() for revision in revisions])
    clock = asyncio.get_running_loop()
    former, moved_at = -1, clock.time()
    with showing() as show:
        while True:
            progress: GetProgressResponse = await insist(lambda: stub.GetProgress(request))
            if progress.revisions_reached:
                break
            taken, wanted = _taken(progress, revisions), sum(revision.position for revision in revisions)
            show(taken, wanted, f"{taken:,} of {wanted:,} facts taken, figures {_behind(progress):,} behind")
            if taken + progress.position != former:
                former, moved_at = taken + progress.position, clock.time()
            if clock.time() - moved_at > STILL_SECONDS_MAX:
                raise CommandError(f"nothing has moved for {STILL_SECONDS_MAX:.0f} s; see holdspace lag")
            await asyncio.sleep(POLL_SECONDS)
    click.echo(f"the figures contain it; complete until {_complete(progress)}", err=True)


async def stored_revision(stub: ResponseSlaServiceStub, service: str, epoch: int, head: int) -> Revision:
    """Returns the revision of a store's head. Its cell is the one that response-sla takes facts of the service from.

    Raises CommandError when there are several cells, or none that it has heard of.
    """
    clock = asyncio.get_running_loop()
    until = clock.time() + STILL_SECONDS_MAX
    while clock.time() < until:
        progress: GetProgressResponse = await insist(lambda: stub.GetProgress(GetProgressRequest()))
        sources = {each.source for each in progress.inputs if _is_of(each.source, service, epoch)}
        if len(sources) == 1:
            return Revision(sources.pop(), head)
        if sources:
            raise CommandError(f"{service} has several cells: give --revision, as the import printed it")
        await asyncio.sleep(POLL_SECONDS)
    raise CommandError(f"response-sla has heard nothing of {service} for {STILL_SECONDS_MAX:.0f} s; see holdspace lag")


def _is_of(source: str, service: str, epoch: int) -> bool:
    """Whether a source, service/cell/epoch, is of that service and its present epoch."""
    return source.startswith(f"{service}/") and source.endswith(f"/{epoch}")


def _taken(progress: GetProgressResponse, revisions: Sequence[Revision]) -> int:
    """Returns how many facts of the wanted ones every consumer has taken."""
    positions = {
        revision.source: [each.position for each in progress.inputs if each.source == revision.source]
        for revision in revisions
    }
    return sum(min([*positions[revision.source], revision.position]) for revision in revisions)


def _behind(progress: GetProgressResponse) -> int:
    return max(0, progress.head - progress.position)


def _complete(progress: GetProgressResponse) -> str:
    return progress.complete_until.ToJsonString() if progress.HasField("complete_until") else "unknown"
