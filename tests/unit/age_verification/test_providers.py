import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt.algorithms import ECAlgorithm, OKPAlgorithm

from holdspace.age_verification.v1.events_pb2 import ASSURANCE_LEVEL_HIGH, ASSURANCE_LEVEL_SUBSTANTIAL
from kernel.clock import ManualClock
from kernel.errors import WrongSetting
from kernel.grpc.jwks import Keys
from services.age_verification.domain.evidence import Over18, UnderAge, Unreadable
from services.age_verification.providers import (
    INVALID,
    UNAVAILABLE,
    LocalProvider,
    SignedTokens,
    receipt_sha256,
)
from tests.sentences import START

ISSUER, AUDIENCE = "https://provider.example", "holdspace"
NOW = int(START.timestamp())
YEAR = 365 * 86_400
KEY, OTHER_KEY = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
EC_KEY = generate_private_key(SECP256R1())
CLAIMS = {
    "iss": ISSUER,
    "aud": AUDIENCE,
    "sub": "c",
    "iat": NOW,
    "exp": NOW + 600,
    "jti": "r1",
    "over_18": True,
    "method": "document",
    "assurance_level": "SUBSTANTIAL",
    "result_expires_at": NOW + YEAR,
}
COMMON = ("document", START, receipt_sha256(ISSUER, "r1"))
OVER_18 = Over18(*COMMON, ASSURANCE_LEVEL_SUBSTANTIAL, START + timedelta(seconds=YEAR))


def publish_keys(path: Path) -> None:
    keys = [
        {**OKPAlgorithm.to_jwk(KEY.public_key(), as_dict=True), "kid": "k1", "use": "sig", "alg": "EdDSA"},
        {**ECAlgorithm.to_jwk(EC_KEY.public_key(), as_dict=True), "kid": "k2", "use": "sig", "alg": "ES256"},
    ]
    path.write_text(json.dumps({"keys": keys}))


def withdraw_keys(path: Path) -> None:
    path.unlink()


@pytest.fixture
def jwks(tmp_path: Path) -> Path:
    publish_keys(tmp_path / "jwks.json")
    return tmp_path / "jwks.json"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START)


@pytest.fixture
def provider(jwks: Path, clock: ManualClock) -> SignedTokens:
    return SignedTokens(ISSUER, AUDIENCE, Keys(str(jwks), clock), clock)


def token(key: Any = KEY, algorithm: str = "EdDSA", header: dict[str, Any] | None = None, **claims: Any) -> str:
    """The claims of a good token with some replaced; one that is None is left out."""
    complete = {name: value for name, value in {**CLAIMS, **claims}.items() if value is not None}
    return jwt.encode(complete, key, algorithm=algorithm, headers={"kid": "k1", **(header or {})})


@pytest.mark.rule("AV1", "AV2")
async def test_a_signed_token_says_what_the_provider_found(provider: SignedTokens) -> None:
    assert await provider.check("c", token()) == OVER_18
    assert await provider.check("c", token(EC_KEY, "ES256", {"kid": "k2"})) == OVER_18
    high = await provider.check("c", token(assurance_level="HIGH", over_18=False))
    assert high == UnderAge(*COMMON, ASSURANCE_LEVEL_HIGH)
    unreadable = token(over_18=None, assurance_level=None, result_expires_at=None, readable=False)
    assert await provider.check("c", unreadable) == Unreadable(*COMMON)


@pytest.mark.rule("AV2")
async def test_a_date_of_birth_in_a_token_goes_no_further(provider: SignedTokens) -> None:
    assert await provider.check("c", token(birthdate="1990-01-01")) == OVER_18


BAD: dict[str, dict[str, Any]] = {
    "signed by another key": {"key": OTHER_KEY},
    "of an unknown key": {"header": {"kid": "k9"}},
    "of a key of another kind": {"key": KEY, "header": {"kid": "k2"}},
    "signed with the public key as a secret": {"key": "k" * 64, "algorithm": "HS256"},
    "not signed at all": {"key": None, "algorithm": "none"},
    "asking for other keys": {"header": {"jku": "https://evil.example/jwks"}},
    "asking to be understood": {"header": {"crit": ["exp"]}},
    "by another issuer": {"iss": "https://evil.example"},
    "for another audience": {"aud": "somebody-else"},
    "about another client": {"sub": "d"},
    "run out": {"exp": NOW - 10},
    "not yet valid": {"nbf": NOW + 60},
    "from the future": {"iat": NOW + 60},
    "without a receipt": {"jti": None},
    "with an empty receipt": {"jti": ""},
    "without a time": {"iat": None},
    "that never ends": {"exp": None},
    "without a client": {"sub": None},
    "without a result": {"over_18": None},
    "with a result that is no boolean": {"over_18": 1},
    "without a level": {"assurance_level": None},
    "with a level of its own": {"assurance_level": "CERTAIN"},
    "with the level that stands for none": {"assurance_level": "UNSPECIFIED"},
    "without an end of the result": {"result_expires_at": None},
    "with an end beyond time": {"result_expires_at": 10**20},
    "with an end that is no number": {"result_expires_at": "next year"},
    "with a method that is no id": {"method": "a photo of Ann"},
    "without a method": {"method": None},
}


@pytest.mark.rule("AV1")
@pytest.mark.parametrize("case", BAD)
async def test_a_token_with_anything_wrong_says_nothing(provider: SignedTokens, case: str) -> None:
    assert await provider.check("c", token(**BAD[case])) == INVALID


@pytest.mark.parametrize("garbage", ["", "a", "a.b.c", "\x00", "é" * 100, "." * 16_384])
async def test_what_is_no_token_says_nothing(provider: SignedTokens, garbage: str) -> None:
    assert await provider.check("c", garbage) == INVALID


async def test_a_changed_token_says_nothing(provider: SignedTokens) -> None:
    header, _, signature = token(over_18=False).split(".")
    assert await provider.check("c", f"{header}.{token().split('.')[1]}.{signature}") == INVALID


async def test_a_token_is_good_until_its_end_by_our_clock(provider: SignedTokens, clock: ManualClock) -> None:
    clock.advance(timedelta(seconds=609))  # with the leeway that clocks are given
    assert await provider.check("c", token()) == OVER_18
    clock.advance(timedelta(seconds=1))
    assert await provider.check("c", token()) == INVALID


@pytest.mark.rule("AV1")
async def test_while_the_keys_were_never_had_nothing_is_said_of_a_token(jwks: Path, clock: ManualClock) -> None:
    withdraw_keys(jwks)
    provider = SignedTokens(ISSUER, AUDIENCE, Keys(str(jwks), clock), clock)
    assert await provider.check("c", token()) == UNAVAILABLE
    publish_keys(jwks)
    assert await provider.check("c", token()) == OVER_18
    withdraw_keys(jwks)
    clock.advance(timedelta(minutes=8))
    assert await provider.check("c", token()) == OVER_18  # by the last good keys


@pytest.mark.rule("AV1")
async def test_the_test_provider_exists_only_locally(jwks: Path) -> None:
    clock = ManualClock(datetime.now(UTC))
    with pytest.raises(WrongSetting):
        LocalProvider(AUDIENCE, Keys(str(jwks), clock), clock, is_local=False)
    LocalProvider(AUDIENCE, Keys(str(jwks), clock), clock, is_local=True)
