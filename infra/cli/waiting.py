"""Waiting until the figures of response-sla contain what other services have stored."""

import asyncio
from collections.abc import Callable, Sequence

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
    progress = await _until(stub, revisions, lambda progress: progress.revisions_reached)
    until = progress.complete_until.ToJsonString() if progress.HasField("complete_until") else "not known"
    click.echo(f"the figures contain it; complete until {until}", err=True)


async def stored_revision(stub: ResponseSlaServiceStub, service: str, epoch: int, head: int) -> Revision:
    """Returns the revision of a store's head. Its cell is the one that response-sla takes facts of the service from.

    Raises CommandError when there are several cells, or when it goes on hearing of none.
    """

    def sources(progress: GetProgressResponse) -> set[str]:
        found = {each.source for each in progress.inputs}
        return {name for name in found if name.startswith(f"{service}/") and name.endswith(f"/{epoch}")}

    progress = await _until(stub, [], lambda progress: bool(sources(progress)))
    source, *others = sources(progress)
    if others:
        raise CommandError(f"{service} has several cells: give --revision, as the import printed it")
    return Revision(source, head)


async def _until(
    stub: ResponseSlaServiceStub, revisions: Sequence[Revision], is_done: Callable[[GetProgressResponse], bool]
) -> GetProgressResponse:
    request = GetProgressRequest(revisions=[revision.encode() for revision in revisions])
    wanted = sum(revision.position for revision in revisions)
    clock = asyncio.get_running_loop()
    former, moved_at = "", clock.time()
    with showing() as show:
        while True:
            progress: GetProgressResponse = await insist(lambda: stub.GetProgress(request))
            if is_done(progress):
                return progress
            taken, behind = _taken(progress, revisions), max(0, progress.head - progress.position)
            text = f"taken {taken:,} of {wanted:,}; {progress.head:,} facts stored, figures {behind:,} behind"
            show(taken, wanted, text)
            now = f"{progress.head} {progress.position} {[each.position for each in progress.inputs]}"
            if now != former:
                former, moved_at = now, clock.time()
            if clock.time() - moved_at > STILL_SECONDS_MAX:
                raise CommandError(
                    f"response-sla has stood still for {STILL_SECONDS_MAX:.0f} s ({text}): holdspace lag"
                )
            await asyncio.sleep(POLL_SECONDS)


def _taken(progress: GetProgressResponse, revisions: Sequence[Revision]) -> int:
    """Returns how many of the wanted facts every consumer of their sources has taken for sure."""
    taken = 0
    for revision in revisions:
        positions = [each.position for each in progress.inputs if each.source == revision.source]
        taken += min([*positions, revision.position]) if positions else 0
    return taken
