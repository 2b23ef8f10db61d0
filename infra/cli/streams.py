"""`holdspace stream`: the facts of one stream, in words."""

import asyncio
import json

import click
from google.protobuf.json_format import MessageToDict

from infra.cli.errors import FAILED, CommandError
from infra.cli.store import SQL, definition_of, reading
from infra.cli.where import SERVICE, database_option
from kernel.errors import Poison
from kernel.facts import FactTypes, UnknownFactType, open_envelope
from kernel.store.interface import Recorded

FACTS_AT_ONCE = 500


@click.group("stream")
def stream() -> None:
    """Look at what happened to one thing: a conversation, a client, a booking."""


@stream.command("show")
@click.argument("service", type=SERVICE)
@click.argument("name", metavar="STREAM")
@click.option(
    "--after", type=click.IntRange(min=0), default=0, metavar="VERSION", help="Only facts above this version."
)
@database_option()
def show_stream(service: str, name: str, after: int, database_url: str) -> None:
    """Print the facts of STREAM, such as conversation-<id>, in order: one JSON object a line.

    A fact says who and when; a message's body is not part of it.
    """
    if not asyncio.run(_show(database_url, service, name, after)):
        more = f" above version {after}" if after else ""
        raise CommandError(f"{service} has no facts in stream {name}{more}", FAILED)


async def _show(url: str, service: str, name: str, after: int) -> bool:
    """Returns whether there were any."""
    types = definition_of(service).own_facts
    version = after
    async with reading(url, service) as connection:
        while rows := await connection.fetch(SQL["stream"], name, version, FACTS_AT_ONCE):
            for row in rows:
                click.echo(json.dumps(_told(Recorded(*row), types)))
            version = rows[-1]["version"]
    return version > after


def _told(recorded: Recorded, types: FactTypes) -> dict[str, object]:
    """A fact that this release cannot decode is shown with the reason in place of its payload."""
    told: dict[str, object] = {
        "position": recorded.position,
        "version": recorded.version,
        "recorded_at": recorded.recorded_at.isoformat().replace("+00:00", "Z"),
    }
    try:
        envelope = open_envelope(recorded.fact)
        told |= MessageToDict(envelope, preserving_proto_field_name=True)
        told.pop("payload", None)
        payload = types.payload(envelope)
    except (Poison, UnknownFactType) as error:
        return told | {"undecoded": f"{type(error).__name__}: {error}"}
    fields = MessageToDict(payload, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
    return told | {"payload": fields}
