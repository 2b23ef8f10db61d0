"""Signed tokens (JWT, RFC 7519) of one issuer, checked against its public keys: those of callers, and those of others
that sign what they found.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import jwt

from kernel.clock import Clock
from kernel.errors import Rejected
from kernel.grpc.jwks import ALGORITHMS, Keys

REFUSED_HEADERS = ("crit", "jku", "x5u")  # Each asks us to trust something other than the issuer's keys.
TOKEN_BYTES_MAX = 4_096  # gRPC itself begins to refuse metadata of 8 KiB, some of the time.
REQUIRED = ("iss", "aud", "exp", "iat", "sub")
MALFORMED = (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError)

# Times are compared with the clock handed in, below, and not by the library with the machine's.
OPTIONS: Any = {
    "verify_exp": False,
    "verify_iat": False,
    "verify_nbf": False,
    "enforce_minimum_key_length": True,
}


class Tokens:
    """Verifies tokens of one issuer for one audience."""

    def __init__(
        self,
        keys: Keys,
        clock: Clock,
        *,
        issuer: str,
        audience: str,
        leeway: timedelta,
        required: Sequence[str] = (),
    ) -> None:
        """`leeway`: how far the issuer's clock may be from ours, either way. `required`: claims beside REQUIRED."""
        self._keys = keys
        self._clock = clock
        self._issuer = issuer
        self._audience = audience
        self._leeway = leeway.total_seconds()
        self._options: Any = {**OPTIONS, "require": [*REQUIRED, *required]}

    async def claims(self, token: str) -> Mapping[str, Any]:
        """Returns what a token says that is rightly signed and valid now.

        Raises Rejected TOKEN_INVALID, TOKEN_TOO_LARGE, TOKEN_EXPIRED or TOKEN_NOT_YET_VALID.
        """
        if len(token) > TOKEN_BYTES_MAX:
            raise Rejected("TOKEN_TOO_LARGE")
        try:
            claims = await self._signed(token)
            begins, ends = max(_seconds(claims["iat"]), _seconds(claims.get("nbf", 0))), _seconds(claims["exp"])
        except MALFORMED as error:
            raise Rejected("TOKEN_INVALID") from error
        now = self._clock.now().timestamp()
        if begins > now + self._leeway:
            raise Rejected("TOKEN_NOT_YET_VALID")
        if now >= ends + self._leeway:
            raise Rejected("TOKEN_EXPIRED")
        return claims

    def ends_at(self, claims: Mapping[str, Any]) -> float:
        """Returns when verified claims are no longer taken, seconds since 1970."""
        return _seconds(claims["exp"]) + self._leeway

    async def _signed(self, token: str) -> Mapping[str, Any]:
        """Raises one of MALFORMED."""
        header = jwt.get_unverified_header(token)
        if any(name in header for name in REFUSED_HEADERS):
            raise ValueError("asks for more than the issuer's keys")
        keys = await self._keys.of(str(header.get("kid", "")), str(header.get("alg", "")))
        refused: Exception = ValueError("no key of that id and algorithm")
        for key in keys:
            try:
                claims: dict[str, Any] = jwt.decode(
                    token,
                    key,
                    algorithms=ALGORITHMS,
                    issuer=self._issuer,
                    audience=self._audience,
                    options=self._options,
                )
            except jwt.InvalidSignatureError as error:
                refused = error
            else:
                return claims
        raise refused


def _seconds(instant: float) -> float:
    """Returns a claim's instant (NumericDate). Raises ValueError, TypeError or OverflowError for anything else."""
    if isinstance(instant, bool) or not isinstance(instant, (int, float)):
        raise TypeError("not a number")
    return float(int(instant))
