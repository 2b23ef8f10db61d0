"""Age providers: whoever checks a client's evidence and signs what it found (JWT, RFC 7519)."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, Protocol

import jwt

from holdspace.age_verification.v1.events_pb2 import AssuranceLevel
from kernel.clock import Clock
from kernel.errors import WrongSetting
from kernel.grpc.jwks import ALGORITHMS, Keys
from kernel.ids import is_id
from services.age_verification.domain.evidence import Checked, Over18, Refused, UnderAge, Unreadable
from services.age_verification.settings import LOCAL_AGE_ISSUER, Settings

INVALID = Refused("PROVIDER_TOKEN_INVALID", "token")
UNAVAILABLE = Refused("PROVIDER_UNAVAILABLE")

REFUSED_HEADERS = ("crit", "jku", "x5u")  # Each asks us to trust something other than the provider's keys.
SKEW = timedelta(seconds=10)  # How far the provider's clock may be ahead of ours.
LEVELS = {name.removeprefix("ASSURANCE_LEVEL_"): level for name, level in AssuranceLevel.items() if level}

# Times are compared with the clock handed in, below, and not by the library with the machine's.
OPTIONS: Any = {
    "require": ["iss", "aud", "exp", "iat", "sub", "jti"],
    "verify_exp": False,
    "verify_iat": False,
    "verify_nbf": False,
    "enforce_minimum_key_length": True,
}


class AgeProvider(Protocol):
    async def check(self, client_id: str, token: str) -> Checked:
        """Returns what the provider says about this client in the token, or why nothing can be made of it."""
        ...


class SignedTokens:
    """A provider whose tokens are checked against its published keys.

    Claims: iss, aud, sub (the client), iat, exp, jti (the receipt), method, and either `readable` false, or over_18 and
    assurance_level (LOW, SUBSTANTIAL, HIGH) with result_expires_at, seconds since 1970. Any other is passed over.
    """

    def __init__(self, issuer: str, audience: str, keys: Keys, clock: Clock) -> None:
        self._issuer = issuer
        self._audience = audience
        self._keys = keys
        self._clock = clock
        self._has_keys = False

    async def check(self, client_id: str, token: str) -> Checked:
        try:
            header = jwt.get_unverified_header(token)
            if any(name in header for name in REFUSED_HEADERS):
                return INVALID
            key = await self._key(str(header.get("kid", "")))
            if key is None or header.get("alg") != key.algorithm_name:
                return INVALID
            claims = jwt.decode(
                token, key, algorithms=ALGORITHMS, issuer=self._issuer, audience=self._audience, options=OPTIONS
            )
            return self._evidence(client_id, claims)
        except ConnectionError:
            return UNAVAILABLE
        except (jwt.PyJWTError, KeyError, ValueError, TypeError, OverflowError):
            return INVALID

    async def _key(self, key_id: str) -> jwt.PyJWK | None:
        """Raises ConnectionError while the provider's keys have never been had: nothing can be said of a token then."""
        if not self._has_keys:
            await self._keys.load()
            self._has_keys = True
        return await self._keys.key(key_id)

    def _evidence(self, client_id: str, claims: Mapping[str, Any]) -> Checked:
        """Raises what malformed claims raise."""
        now, issued_at = self._clock.now(), _instant(claims["iat"])
        in_time = issued_at <= now + SKEW and now < _instant(claims["exp"])
        if claims["sub"] != client_id or not in_time or not is_id(claims["method"]) or not claims["jti"]:
            return INVALID
        common = (claims["method"], issued_at, receipt_sha256(claims["iss"], claims["jti"]))
        if claims.get("readable") is False:
            return Unreadable(*common)
        level, over_18 = LEVELS[claims["assurance_level"]], claims["over_18"]
        if over_18 is True:
            return Over18(*common, level, _instant(claims["result_expires_at"]))
        return UnderAge(*common, level) if over_18 is False else INVALID


class LocalProvider(SignedTokens):
    """The provider of the local stack, which signs whatever it is told to."""

    def __init__(self, audience: str, keys: Keys, clock: Clock, *, is_local: bool) -> None:
        """Raises WrongSetting outside of a local environment."""
        if not is_local:
            raise WrongSetting("HOLDSPACE_AGE_ISSUER: is the test provider, which only a local environment trusts")
        super().__init__(LOCAL_AGE_ISSUER, audience, keys, clock)


def provider(settings: Settings, clock: Clock) -> AgeProvider:
    """Returns the provider that the settings name."""
    keys = Keys(settings.age_jwks, clock)
    if settings.age_issuer == LOCAL_AGE_ISSUER:
        return LocalProvider(settings.age_audience, keys, clock, is_local=settings.is_local)
    return SignedTokens(settings.age_issuer, settings.age_audience, keys, clock)


def receipt_sha256(issuer: str, receipt: str) -> bytes:
    """Returns the digest that stands for a receipt: of the provider and the receipt's id, one line each."""
    return sha256(f"{issuer}\n{receipt}".encode()).digest()


def _instant(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
