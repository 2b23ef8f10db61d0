"""`holdspace gates`: are the copies that calls are decided on those of their source?"""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import click
from prometheus_client import CollectorRegistry, write_to_textfile

from infra.cli.comparing import Decided, Difference, lanes_of, lasting
from infra.cli.errors import FAILED, CommandError
from infra.cli.output import output_option, show
from infra.cli.progress import showing
from infra.cli.where import SERVICE, database_option
from infra.database import SERVICES
from kernel.metrics import VerifiedGates

COLUMNS = ("service", "topic", "subject", "source_holds", "copy_says")
WITHIN_SECONDS = 10.0


@click.group("gates")
def gates() -> None:
    """Copies of other services' decisions: standing, age, enrolment."""


@gates.command("verify")
@click.argument("source", type=SERVICE, required=False)
@click.option("--cell", help="Of the source. Needed where copies of several cells meet.")
@click.option("--within", default=WITHIN_SECONDS, show_default=True, help="Seconds for what is on its way to arrive.")
@click.option(
    "--metrics-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Also write holdspace_gate_differences there, as node_exporter's textfile collector reads it.",
)
@output_option
@database_option()
def verify(
    source: str | None, cell: str | None, within: float, metrics_file: Path | None, output: str, database_url: str
) -> None:
    """Compare every copy of the states that SOURCE, or every service, decided with its store. Changes nothing.

    Exit code 1 where a copy differs. Safe at any time; it reads all facts of the source. After a restore the relay of
    the source states everything anew: what differs then is put right within seconds of its start.
    """
    sources = [source] if source else [name for name in SERVICES if lanes_of(name)]
    found: dict[str, list[Difference]] = {name: verified(database_url, name, cell, within) for name in sources}
    if metrics_file:
        write_metrics(metrics_file, found)
    differences = [each for several in found.values() for each in several]
    show_differences(differences, output)
    if differences:
        raise CommandError(f"{len(differences)} copies differ from their source", FAILED)
    if output == "table":
        click.echo(f"every copy is what its source holds: {', '.join(sources)}")


def verified(url: str, source: str, cell: str | None, within: float) -> list[Difference]:
    """Returns the differences that stay."""
    with showing() as shown:

        def progress(position: int, head: int) -> None:
            shown(position, head, f"{source}: {position:,} of {head:,} facts")

        return asyncio.run(lasting(url, source, cell, progress, within))


def show_differences(differences: Sequence[Difference], output: str) -> None:
    rows = [
        {
            "service": each.service,
            "topic": each.topic,
            "subject": each.subject,
            "source_holds": _text(each.held),
            "copy_says": _text(each.copied),
        }
        for each in differences
    ]
    if rows or output == "json":
        show(rows, output, COLUMNS)


def write_metrics(path: Path, found: dict[str, list[Difference]]) -> None:
    registry = CollectorRegistry()
    metrics = VerifiedGates(registry)
    for source, differences in found.items():
        metrics.verified(source, len(differences))
    write_to_textfile(str(path), registry)


def _text(decided: Decided | None) -> str | None:
    return None if decided is None else f"version {decided.version} of epoch {decided.epoch}"
