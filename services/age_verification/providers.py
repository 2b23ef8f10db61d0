"""Age providers: whoever checks a client's evidence and signs what it found (JWT, RFC 7519)."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, Protocol

from holdspace.age_verification.v1.events_pb2 import AssuranceLevel
from kernel.clock import Clock
from kernel.errors import Rejected, WrongSetting
from kernel.grpc.jwks import Keys
from kernel.grpc.tokens import Tokens
from kernel.ids import is_id
from services.age_verification.domain.evidence import Checked, Over18, Refused, UnderAge, Unreadable
from services.age_verification.settings import LOCAL_AGE_ISSUER, Settings

INVALID = Refused("PROVIDER_TOKEN_INVALID", "token")
UNAVAILABLE = Refused("PROVIDER_UNAVAILABLE")

LEEWAY = timedelta(seconds=10)
LEVELS = {name.removeprefix("ASSURANCE_LEVEL_"): level for name, level in AssuranceLevel.items() if level}


class AgeProvider(Protocol):
    async def check(self, client_id: str, token: str) -> Checked:
        """Returns what the provider says about this client in the token, or why nothing can be made of it."""
        ...


class SignedTokens:
    """A provider whose tokens are checked against its published keys.

    Claims: iss, aud, sub (the client), iat, exp, jti (the receipt), method, and either `readable` false, or over_18 and
    assurance_level (LOW, SUBSTANTIAL, HIGH) with result_expires_at, seconds since 1970. Any other is passed over.
    """

    def __init__(self, issuer: str, audience: str, keys: Keys, clock: Clock, *, leeway: timedelta = LEEWAY) -> None:
        self._keys = keys
        self._tokens = Tokens(keys, clock, issuer=issuer, audience=audience, leeway=leeway, required=["jti", "method"])
        self._has_keys = False

    async def check(self, client_id: str, token: str) -> Checked:
        try:
            if not self._has_keys:  # Nothing can be said of a token while the provider's keys have never been had.
                await self._keys.load()
                self._has_keys = True
            return self._evidence(client_id, await self._tokens.claims(token))
        except ConnectionError:
            return UNAVAILABLE
        except (Rejected, KeyError, ValueError, TypeError, OverflowError):
            return INVALID

    def _evidence(self, client_id: str, claims: Mapping[str, Any]) -> Checked:
        """Raises what malformed claims raise."""
        if claims["sub"] != client_id or not is_id(claims["method"]) or not claims["jti"]:
            return INVALID
        common = (claims["method"], _instant(claims["iat"]), receipt_sha256(claims["iss"], claims["jti"]))
        if claims.get("readable") is False:
            return Unreadable(*common)
        level, over_18 = LEVELS[claims["assurance_level"]], claims["over_18"]
        if over_18 is True:
            return Over18(*common, level, _instant(claims["result_expires_at"]))
        return UnderAge(*common, level) if over_18 is False else INVALID


class LocalProvider(SignedTokens):
    """The provider of the local stack, which signs whatever it is told to."""

    def __init__(self, audience: str, keys: Keys, clock: Clock, *, is_local: bool, leeway: timedelta = LEEWAY) -> None:
        """Raises WrongSetting outside of a local environment."""
        if not is_local:
            raise WrongSetting("HOLDSPACE_AGE_ISSUER: is the test provider, which only a local environment trusts")
        super().__init__(LOCAL_AGE_ISSUER, audience, keys, clock, leeway=leeway)


def provider(settings: Settings, clock: Clock) -> AgeProvider:
    """Returns the provider that the settings name."""
    keys, leeway = Keys(settings.age_jwks, clock), timedelta(seconds=settings.token_leeway_seconds)
    if settings.age_issuer == LOCAL_AGE_ISSUER:
        return LocalProvider(settings.age_audience, keys, clock, is_local=settings.is_local, leeway=leeway)
    return SignedTokens(settings.age_issuer, settings.age_audience, keys, clock, leeway=leeway)


def receipt_sha256(issuer: str, receipt: str) -> bytes:
    """Returns the digest that stands for a receipt: of the provider and the receipt's id, one line each."""
    return sha256(f"{issuer}\n{receipt}".encode()).digest()


def _instant(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
