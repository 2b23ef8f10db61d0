"""What a service is told by its environment: read once at start, refused as a whole when anything in it is wrong."""

import re
import secrets
from typing import Annotated, Literal, TypeVar

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from kernel.errors import WrongSetting
from kernel.ids import is_id

LOCAL_ISSUER = "https://local.holdspace.test"
"""Issues the tokens of the local stack. Whoever runs one can have any, so only a local service takes them."""

Port = Annotated[int, Field(ge=0, le=65_535)]
Seconds = Annotated[float, Field(gt=0)]
Limit = Annotated[int, Field(gt=0)]


class ServiceSettings(BaseSettings):
    """What every service needs. A service with settings of its own derives from it; use `load`, not the constructor."""

    model_config = SettingsConfigDict(
        env_prefix="HOLDSPACE_",
        env_ignore_empty=True,
        validate_default=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
    )

    environment: Literal["local", "production"] = "production"
    database_url: SecretStr
    kafka: str  # bootstrap servers: host:port, separated by commas
    cell: str  # names this database among those of the service

    grpc_host: str = "127.0.0.1"
    grpc_port: Port = 50_051  # 0: any free port
    grpc_reflection: bool = False
    metrics_host: str = "127.0.0.1"
    metrics_port: Port = 9_464
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    jwks: str  # the issuer's public keys: path of a file, or http(s) URL
    issuer: Annotated[str, Field(min_length=1)]
    audience: Annotated[str, Field(min_length=1)]

    token_leeway_seconds: Annotated[float, Field(ge=0)] = 10  # of tokens' times, either way

    # Signs page tokens, the same in every process of a service. Only a local one may do without: it then makes one up.
    page_token_key: Annotated[SecretStr, Field(min_length=32)] | None = None

    gate_stale_seconds: Seconds = 15
    drain_seconds: Seconds = 20  # for the calls under way, once a stop is asked for
    stop_seconds: Seconds = 5  # for everything else, after that; then the process exits hard
    connection_age_seconds_max: Seconds = 300  # so that new pods get their share of the callers
    request_bytes_max: Limit = 4 * 1024 * 1024
    connection_streams_max: Limit = 1_000
    append_batch_max: Limit = 128
    appender_queue_max: Limit = 4_096
    attempts_max: Limit = 8  # at one command, when what it rested on moved

    @property
    def is_local(self) -> bool:
        return self.environment == "local"

    @property
    def page_key(self) -> bytes:
        """The key of page tokens; a new one with every look where none is set."""
        given = self.page_token_key
        return secrets.token_bytes(32) if given is None else given.get_secret_value().encode()

    @field_validator("page_token_key", mode="after")
    @classmethod
    def _is_given(cls, key: SecretStr | None, read: ValidationInfo) -> SecretStr | None:
        if key is None and read.data.get("environment") != "local":
            raise ValueError("is missing")
        return key

    @field_validator("database_url")
    @classmethod
    def _names_postgres(cls, url: SecretStr) -> SecretStr:
        if not url.get_secret_value().startswith(("postgres://", "postgresql://")):
            raise ValueError("must start with postgresql://")
        return url

    @field_validator("kafka")
    @classmethod
    def _names_brokers(cls, servers: str) -> str:
        if not all(re.fullmatch(r"[^\s,:/]+:\d{1,5}", server) for server in servers.split(",")):
            raise ValueError("must be host:port, several separated by commas")
        return servers

    @field_validator("cell")
    @classmethod
    def _is_id(cls, cell: str) -> str:
        if not is_id(cell):
            raise ValueError("must be letters, digits, _ or -, at most 64")
        return cell

    @field_validator("issuer")
    @classmethod
    def _is_not_for_tests(cls, issuer: str, read: ValidationInfo) -> str:
        if issuer.rstrip("/") == LOCAL_ISSUER and read.data.get("environment") == "production":
            raise ValueError("is the local test issuer, which only HOLDSPACE_ENVIRONMENT=local trusts")
        return issuer


Settings = TypeVar("Settings", bound=ServiceSettings)


def load(settings: type[Settings]) -> Settings:
    """Returns the settings read from the environment. Variables it does not know are left alone.

    Raises WrongSetting with a line for each setting that is missing or wrong. None repeats a value: it may be a secret.
    """
    prefix = settings.model_config["env_prefix"]
    try:
        return settings()
    except ValidationError as wrong:
        lines = [_line(prefix, str(error["loc"][0]), error["type"], error["msg"]) for error in wrong.errors()]
    except SettingsError as wrong:  # A list or a mapping that is not JSON; the text names the field, not the value.
        lines = [str(wrong)]
    raise WrongSetting("\n".join(lines))


def _line(prefix: str, field: str, kind: str, message: str) -> str:
    told = "is missing" if kind == "missing" else message.removeprefix("Value error, ")
    return f"{prefix}{field.upper()}: {' '.join(told.split())}"
