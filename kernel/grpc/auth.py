"""Who calls: a JWT from the one issuer."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from kernel.clock import Clock
from kernel.errors import Rejected
from kernel.grpc.jwks import FRESH_FOR, Keys
from kernel.grpc.tokens import Tokens
from kernel.ids import is_id

CACHED_TOKENS_MAX = 10_000


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

    def __init__(self, keys: Keys, clock: Clock, *, issuer: str, audience: str, leeway: timedelta) -> None:
        self._keys = keys
        self._clock = clock
        self._tokens = Tokens(keys, clock, issuer=issuer, audience=audience, leeway=leeway)
        self._known: dict[str, tuple[Caller, float]] = {}  # until: seconds since 1970

    async def load(self) -> None:
        """Raises ConnectionError when the issuer's keys cannot be had now."""
        await self._keys.load()

    async def caller(self, authorization: str) -> Caller:
        """Takes the value of the `authorization` header. Raises Rejected TOKEN_MISSING, TOKEN_INVALID, TOKEN_TOO_LARGE,
        TOKEN_EXPIRED or TOKEN_NOT_YET_VALID.
        """
        if not authorization:
            raise Rejected("TOKEN_MISSING")
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer":
            raise Rejected("TOKEN_INVALID")
        now = self._clock.now().timestamp()
        known = self._known.get(token)
        if known is not None and now < known[1]:
            return known[0]
        claims = await self._tokens.claims(token)
        caller = _caller(claims)
        self._remember(token, caller, min(self._tokens.ends_at(claims), now + FRESH_FOR.total_seconds()))
        return caller

    def _remember(self, token: str, caller: Caller, until: float) -> None:
        self._known.pop(token, None)
        if len(self._known) >= CACHED_TOKENS_MAX:
            del self._known[next(iter(self._known))]  # The oldest.
        self._known[token] = (caller, until)


def _caller(claims: Mapping[str, Any]) -> Caller:
    subject, kind, scope = claims["sub"], claims.get("kind"), claims.get("scope", "")
    if not is_id(subject) or kind not in ("service", "person") or not isinstance(scope, str):
        raise Rejected("TOKEN_INVALID")
    return Caller(subject, kind, frozenset(scope.split()))
