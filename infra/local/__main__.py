"""The command line of the local stack: `python -m infra.local up | down | status | logs`."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from infra.local import servers, stack, supervisor
from infra.local.services import ROOT
from infra.local.stack_error import StackError

LOG_LINES = 20


def main(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code; what a person must put right is one line on standard error."""
    options = parse(arguments)
    data = options.data.resolve()
    try:
        if options.command == "up":
            os.environ.setdefault("HOLDSPACE_ENVIRONMENT", "local")  # a name set by hand is respected, and refused
            stack.up(data, say, servers_only=options.servers_only)
        elif options.command == "down":
            servers.down(data)
            say("stopped")
        elif options.command == "status":
            show_status(data)
        else:
            show_logs(data)
    except StackError as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(f"The local stack in {data} cannot go on: {error}", file=sys.stderr)
        return 1
    return 0


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line; leaves the process with code 2 when it is not understood."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--data", type=Path, default=ROOT / ".local", help="the folder the stack lives in")
    parser = argparse.ArgumentParser(prog="python -m infra.local", description="Run the platform on this machine.")
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", parents=[common], help="start what does not run yet")
    up.add_argument("--servers-only", action="store_true", help="PostgreSQL, Kafka, topics and keys, but no service")
    commands.add_parser("down", parents=[common], help="stop everything this stack started")
    commands.add_parser("status", parents=[common], help="what runs, and where it answers")
    commands.add_parser("logs", parents=[common], help="the last lines of every log")
    return parser.parse_args(arguments)


def show_status(data: Path) -> None:
    """One line per program: its name, its pid, its ports."""
    for each in servers.status(data):
        state = f"running, pid {each.pid}" if each.pid is not None else "stopped"
        say(f"{each.name:<18}{state:<22}{each.address}")
    for variable in (servers.DATABASE_VARIABLE, servers.KAFKA_VARIABLE):
        if os.environ.get(variable):
            say(f"{variable} is set: that server is used in place of ours")


def show_logs(data: Path) -> None:
    """The last lines of each program's log, under the path of the file."""
    for each in servers.status(data):
        say(f"== {supervisor.log_path(data, each.name)}")
        for line in supervisor.log_tail(data, each.name, LOG_LINES):
            say(line)


def say(line: str) -> None:
    """Print at once, so that a waiting person sees each step."""
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
