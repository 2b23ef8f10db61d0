"""Where the platform answers: options, then the environment, then the local stack when one runs on this machine."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
import jwt

from infra.cli.errors import ASKED_WRONGLY, CommandError
from infra.database import SERVICES

if TYPE_CHECKING:
    from infra.cli.local_stack import LocalStack

Command = TypeVar("Command", bound=Callable[..., Any])
T = TypeVar("T")

TOKEN = "HOLDSPACE_TOKEN"  # noqa: S105 - the name of a variable
DATABASE = "HOLDSPACE_DATABASE_URL"
KAFKA = "HOLDSPACE_KAFKA"
APIS = {
    "messaging": "HOLDSPACE_MESSAGING",
    "response_sla": "HOLDSPACE_RESPONSE_SLA",
    "scheduling": "HOLDSPACE_SCHEDULING",
}


class ServiceName(click.Choice[str]):
    """A service by its name; response-sla is as good as response_sla."""

    def __init__(self) -> None:
        super().__init__(SERVICES)

    def normalize_choice(self, choice: str, ctx: click.Context | None) -> str:
        return super().normalize_choice(choice, ctx).replace("-", "_")


SERVICE = ServiceName()


def database_option(*, needed: bool = True) -> Callable[[Command], Command]:
    """Where it is not always needed the parameter may be None; the command then asks `database_url` once it is."""
    return click.option(
        "--database-url",
        envvar=DATABASE,
        default=database_url if needed else None,
        metavar="URL",
        help=f"postgresql://user@host:port/name; its login takes the roles of the services. [{DATABASE}]",
    )


def database_url() -> str:
    """Returns the local stack's database. Raises CommandError when it does not run."""
    return _found(lambda stack: stack.database_url(), "database", DATABASE)


def kafka_option(command: Command) -> Command:
    return click.option(
        "--kafka",
        envvar=KAFKA,
        default=lambda: _found(lambda stack: stack.kafka(), "Kafka", KAFKA),
        metavar="HOST:PORT",
        help=f"Bootstrap servers, separated by commas. [{KAFKA}]",
    )(command)


def api_option(service: str, *, needed: bool = True) -> Callable[[Command], Command]:
    """The address of a service's gRPC API, as the parameter named after the service; `needed` as for the database."""
    return click.option(
        f"--{service.replace('_', '-')}",
        envvar=APIS[service],
        default=(lambda: api(service)) if needed else None,
        metavar="HOST:PORT",
        help=f"Where the API of {service} answers. [{APIS[service]}]",
    )


def api(service: str) -> str:
    """Returns host:port of the local stack's service. Raises CommandError when it does not run."""
    return _found(lambda stack: stack.api(service), f"address of {service}", APIS[service])


def token_option(*rights: str) -> Callable[[Command], Command]:
    """A token with these rights; the local stack's keys sign one where none is given."""
    return click.option(
        "--token",
        envvar=TOKEN,
        default=lambda: _found(lambda stack: stack.token("operator", "service", rights), "token", TOKEN),
        metavar="JWT",
        help=f"A token with the rights {', '.join(rights)}; better given in the environment. [{TOKEN}]",
    )


def subject_of(token: str) -> str:
    """Returns whom a token speaks for, nobody where it is none: it is for the service to say that it is not good."""
    try:
        return str(jwt.decode(token, options={"verify_signature": False}).get("sub", ""))
    except jwt.PyJWTError:
        return ""


def local_stack() -> "LocalStack | None":
    """Returns the stack whose folder `--local` names; None where the development dependencies are not installed."""
    try:
        from infra.cli.local_stack import DEFAULT_FOLDER, LocalStack
    except ModuleNotFoundError:
        return None
    named: Path | None = click.get_current_context().find_root().params.get("local")
    return LocalStack((named or DEFAULT_FOLDER).resolve())


def _found(look: Callable[["LocalStack"], T | None], what: str, variable: str) -> T:
    """Raises CommandError that says what to set when nothing on this machine can stand in."""
    stack = local_stack()
    found = look(stack) if stack is not None else None
    if found is None:
        where = f" in {stack.data}" if stack is not None else ""
        raise CommandError(f"No {what}: set {variable}, or start the local stack (none runs{where})", ASKED_WRONGLY)
    return found
