"""Who calls: a JWT (RFC 7519) from the one issuer, checked against its public keys."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

import jwt

from kernel.clock import Clock
from kernel.errors import Rejected
from kernel.grpc.jwks import ALGORITHMS, FRESH_FOR, Keys
from kernel.ids import is_id

REFUSED_HEADERS = ("crit", "jku", "x5u")  # Each asks us to trust something other than the issuer's keys.
SKEW = timedelta(seconds=10)  # How far the issuer's clock may be ahead of ours.
CACHED_TOKENS_MAX = 10_000
TOKEN_BYTES_MAX = 4_096  # gRPC itself begins to refuse metadata of 8 KiB, some of the time.

# Times are compared with the clock handed in, below, and not by the library with the machine's.
OPTIONS: Any = {
    "require": ["iss", "aud", "exp", "iat", "sub"],
    "verify_exp": False,
    "verify_iat": False,
    "verify_nbf": False,
    "enforce_minimum_key_length": True,
}


@dataclass(frozen=True, slots=True)
class Caller:
    """Whom a token speaks for: a service by its name, or a person by their id."""

    subject: str
    kind: Literal["service", "person"]
    rights: frozenset[str]


class Authenticator:
    """Verifies tokens. A verified one is remembered until it expires, and at most as long as a set of keys is fresh, so
    that neither every call pays for a signature nor a withdrawn key lives on.
    """

    def __init__(self, keys: Keys, clock: Clock, *, issuer: str, audience: str) -> None:
        self._keys = keys
        self._clock = clock
        self._issuer = issuer
        self._audience = audience
        self._known: dict[str, tuple[Caller, float]] = {}  # until: seconds since 1970

    async def load(self) -> None:
        """Raises ConnectionError when the issuer's keys cannot be had now."""
        await self._keys.load()

    async def caller(self, authorization: str) -> Caller:
        """Takes the value of the `authorization` header. Raises Rejected TOKEN_MISSING or TOKEN_INVALID."""
        if not authorization:
            raise Rejected("TOKEN_MISSING")
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or len(token) > TOKEN_BYTES_MAX:
            raise Rejected("TOKEN_INVALID")
        now = self._clock.now().timestamp()
        known = self._known.get(token)
        if known is not None and now < known[1]:
            return known[0]
        try:
            caller, expires = await self._verify(token, now)
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError) as error:
            raise Rejected("TOKEN_INVALID") from error
        self._remember(token, caller, min(expires, now + FRESH_FOR.total_seconds()))
        return caller

    async def _verify(self, token: str, now: float) -> tuple[Caller, float]:
        """Returns whom it speaks for and until when, seconds since 1970. Raises PyJWTError or what bad claims raise."""
        header = jwt.get_unverified_header(token)
        if any(name in header for name in REFUSED_HEADERS):
            raise ValueError("asks for more than the issuer's keys")
        key = await self._keys.key(str(header.get("kid", "")))
        if key is None or header.get("alg") != key.algorithm_name:
            raise ValueError("no key of that id and algorithm")
        claims = jwt.decode(
            token, key, algorithms=ALGORITHMS, issuer=self._issuer, audience=self._audience, options=OPTIONS
        )
        expires = int(claims["exp"])
        begins = max(int(claims["iat"]), int(claims.get("nbf", 0)))
        if not begins <= now + SKEW.total_seconds() or not now < expires:
            raise ValueError("not valid at this time")
        return _caller(claims), expires

    def _remember(self, token: str, caller: Caller, until: float) -> None:
        self._known.pop(token, None)
        if len(self._known) >= CACHED_TOKENS_MAX:
            del self._known[next(iter(self._known))]  # The oldest.
        self._known[token] = (caller, until)


def _caller(claims: dict[str, Any]) -> Caller:
    subject, kind, scope = claims["sub"], claims.get("kind"), claims.get("scope", "")
    if not is_id(subject) or kind not in ("service", "person") or not isinstance(scope, str):
        raise ValueError("malformed sub, kind or scope")
    return Caller(subject, kind, frozenset(scope.split()))
