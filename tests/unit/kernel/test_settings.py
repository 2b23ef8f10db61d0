"""Settings come from the environment and are refused as a whole."""

import pytest
from pydantic import ValidationError

from kernel.errors import WrongSetting
from kernel.settings import LOCAL_ISSUER, ServiceSettings, load

GOOD = {
    "DATABASE_URL": "postgresql://user:hunter2@db/holdspace",
    "KAFKA": "one:9092,two:9092",
    "CELL": "a",
    "JWKS": "https://issuer.example/jwks",
    "ISSUER": "https://issuer.example",
    "AUDIENCE": "holdspace",
    "PAGE_TOKEN_KEY": "signs the page tokens of the tests",
}


class AgeSettings(ServiceSettings):
    receipts_max: int
    providers: tuple[str, ...] = ()


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.delenv("HOLDSPACE_ENVIRONMENT", raising=False)
    given(monkeypatch, **GOOD)
    return monkeypatch


def given(environment: pytest.MonkeyPatch, **variables: str) -> None:
    for name, value in variables.items():
        environment.setenv(f"HOLDSPACE_{name}", value)


def refusal(settings: type[ServiceSettings] = ServiceSettings) -> list[str]:
    with pytest.raises(WrongSetting) as wrong:
        load(settings)
    return str(wrong.value).splitlines()


def test_settings_are_read_and_then_fixed(environment: pytest.MonkeyPatch) -> None:
    given(environment, GATE_STALE_SECONDS="30", SOMETHING_OF_ANOTHER_SERVICE="x")
    settings = load(ServiceSettings)
    assert (settings.gate_stale_seconds, settings.append_batch_max, settings.is_local) == (30, 128, False)
    assert settings.database_url.get_secret_value() == GOOD["DATABASE_URL"]
    with pytest.raises(ValidationError):
        settings.cell = "b"  # type: ignore[misc]


def test_a_service_adds_settings_of_its_own(environment: pytest.MonkeyPatch) -> None:
    given(environment, RECEIPTS_MAX="3")
    assert load(AgeSettings).receipts_max == 3


def test_everything_missing_is_named_at_once(environment: pytest.MonkeyPatch) -> None:
    for name in GOOD:
        environment.setenv(f"HOLDSPACE_{name}", "")
    assert sorted(refusal(AgeSettings)) == sorted(f"HOLDSPACE_{name}: is missing" for name in [*GOOD, "RECEIPTS_MAX"])


def test_everything_wrong_is_named_at_once_and_no_value_repeated(environment: pytest.MonkeyPatch) -> None:
    given(
        environment,
        ENVIRONMENT="hunter2",
        DATABASE_URL="mysql://user:hunter2@db",
        KAFKA="hunter2",
        CELL="hunter2!",
        GRPC_PORT="hunter2",
        METRICS_PORT="70000",
        DRAIN_SECONDS="0",
    )
    lines = refusal()
    assert [line.split(":")[0] for line in lines] == [
        f"HOLDSPACE_{name}"
        for name in ("ENVIRONMENT", "DATABASE_URL", "KAFKA", "CELL", "GRPC_PORT", "METRICS_PORT", "DRAIN_SECONDS")
    ]
    assert "HOLDSPACE_DATABASE_URL: must start with postgresql://" in lines
    assert "hunter2" not in "".join(lines)


def test_a_list_that_is_no_json_is_named_without_its_value(environment: pytest.MonkeyPatch) -> None:
    given(environment, PROVIDERS="hunter2")
    [line] = refusal(AgeSettings)
    assert "providers" in line
    assert "hunter2" not in line


def test_only_a_local_service_trusts_the_local_issuer(environment: pytest.MonkeyPatch) -> None:
    for issuer in (LOCAL_ISSUER, f"{LOCAL_ISSUER}/"):
        given(environment, ISSUER=issuer)
        assert refusal() == [
            "HOLDSPACE_ISSUER: is the local test issuer, which only HOLDSPACE_ENVIRONMENT=local trusts"
        ]
    given(environment, ENVIRONMENT="local")
    assert load(ServiceSettings).is_local


def test_settings_show_no_password(environment: pytest.MonkeyPatch) -> None:
    assert "hunter2" not in repr(load(ServiceSettings))
    given(environment, DATABASE_URL="mysql://user:hunter2@db")
    with pytest.raises(ValidationError) as wrong:
        ServiceSettings()
    assert "hunter2" not in str(wrong.value)
