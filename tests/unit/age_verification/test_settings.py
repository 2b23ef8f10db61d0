import pytest

from holdspace.age_verification.v1.events_pb2 import ASSURANCE_LEVEL_HIGH
from kernel.errors import WrongSetting
from kernel.settings import load
from services.age_verification.settings import LOCAL_AGE_ISSUER, Settings

ENVIRONMENT = {
    "HOLDSPACE_ENVIRONMENT": "production",
    "HOLDSPACE_DATABASE_URL": "postgresql://db/holdspace",
    "HOLDSPACE_KAFKA": "kafka:9092",
    "HOLDSPACE_CELL": "main",
    "HOLDSPACE_JWKS": "https://issuer.example/jwks",
    "HOLDSPACE_ISSUER": "https://issuer.example",
    "HOLDSPACE_AUDIENCE": "holdspace",
    "HOLDSPACE_PAGE_TOKEN_KEY": "signs the page tokens of the tests",
    "HOLDSPACE_AGE_JWKS": "https://provider.example/jwks",
    "HOLDSPACE_AGE_ISSUER": "https://provider.example",
    "HOLDSPACE_AGE_AUDIENCE": "holdspace",
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


def test_the_policy_is_a_matter_of_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOLDSPACE_AGE_LEVEL_MIN", "HIGH")
    monkeypatch.setenv("HOLDSPACE_AGE_UNREADABLE_MAX", "5")
    policy = load(Settings).policy
    assert (policy.level_min, policy.unreadable_max) == (ASSURANCE_LEVEL_HIGH, 5)


@pytest.mark.rule("AV1")
@pytest.mark.parametrize("issuer", [LOCAL_AGE_ISSUER, f"{LOCAL_AGE_ISSUER}/"])
def test_a_service_in_production_does_not_start_with_the_test_provider(
    monkeypatch: pytest.MonkeyPatch, issuer: str
) -> None:
    monkeypatch.setenv("HOLDSPACE_AGE_ISSUER", issuer)
    with pytest.raises(WrongSetting, match="HOLDSPACE_AGE_ISSUER: is the local test provider"):
        load(Settings)
