"""`python -m infra.demo [--keep]`: one report, watched through all five services."""

import argparse
import asyncio
import os
import sys
from pathlib import Path

import grpc
from rich.console import Console

from infra.callers import callers
from infra.database import SERVICES
from infra.demo.screen import Screen, Unexpected
from infra.demo.story import Story
from infra.demo.world import World
from infra.local import keys, servers, services, stack
from infra.local.stack_error import StackError
from kernel.grpc.client import reason_of

DATA = Path(".local").resolve()


def main() -> None:
    """Exits 0 when everything shown was as promised, 1 when a service did otherwise or could not be started."""
    parser = argparse.ArgumentParser(prog="make demo")
    parser.add_argument("--keep", action="store_true", help="leave everything running, and say how to call it")
    keep = parser.parse_args().keep
    os.environ.setdefault("HOLDSPACE_ENVIRONMENT", "local")
    screen = Screen()
    was_running = any(program.pid for program in servers.status(DATA))
    try:
        told = run(screen)
    finally:
        if not keep and not was_running:
            servers.down(DATA)
    if told and keep:
        show_how_to_call(Console(highlight=False))
    sys.exit(0 if told else 1)


def run(screen: Screen) -> bool:
    try:
        screen.act("Holdspace", "PostgreSQL, Kafka and five services, each a process of its own on this machine.")
        where = stack.up(DATA, screen.line)
        asyncio.run(tell(screen, where.database_url))
    except StackError as error:
        screen.line(f"[bold red]{error}")
    except Unexpected as error:
        screen.line(f"[bold red]the demo ends here: {error}")
    except grpc.aio.AioRpcError as error:
        screen.line(f"[bold red]a call failed: {error.code().name} {' '.join(reason_of(error))}")
    else:
        return True
    return False


async def tell(screen: Screen, database_url: str) -> None:
    async with callers(targets(), token_with) as opened:
        await Story(World(opened, DATA, database_url), screen).tell()


def targets() -> dict[str, str]:
    return {name: f"127.0.0.1:{services.environment(DATA, name)['HOLDSPACE_GRPC_PORT']}" for name in SERVICES}


def token_with(scope: list[str]) -> str:
    return keys.mint(DATA, subject="demo", kind="service", scope=scope)


def show_how_to_call(console: Console) -> None:
    console.print("\n[bold]Left running.[/] `make status` lists it, `make down` stops it.\n")
    for name in SERVICES:
        environment = services.environment(DATA, name)
        metrics = f"http://127.0.0.1:{environment['HOLDSPACE_METRICS_PORT']}/metrics"
        grpc_address = f"127.0.0.1:{environment['HOLDSPACE_GRPC_PORT']}"
        console.print(f"  {name:17} gRPC {grpc_address}   metrics {metrics}", soft_wrap=True)
    console.print(
        "\nCall it:\n"
        "  TOKEN=$(.venv/bin/holdspace token --subject demo --kind service --scope moderation.read)\n"
        "  .venv/bin/buf curl --timeout 5s --schema proto --protocol grpc --http2-prior-knowledge \\\n"
        '    --header "authorization: Bearer $TOKEN" -d \'{"client_id": "somebody"}\' \\\n'
        f"    http://{targets()['moderation']}/holdspace.moderation.v1.ModerationService/GetClientStanding\n",
        markup=False,
        soft_wrap=True,
    )


if __name__ == "__main__":
    main()
