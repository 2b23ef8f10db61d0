"""The issuer's public keys (JWKS, RFC 7517), from a file or a URL, fetched again when there is cause."""

import asyncio
import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import structlog
from jwt import PyJWK, PyJWTError

from kernel.clock import Clock

ALGORITHMS = ("EdDSA", "ES256", "RS256")
FETCH_SECONDS_MAX = 3
BETWEEN_FETCHES = timedelta(seconds=3)  # for an id that is not known
BETWEEN_REFRESHES = timedelta(seconds=30)  # of an old set, while the issuer fails
UNKNOWN_FOR = timedelta(seconds=10)  # so long an id that the issuer did not have is no cause to ask again
UNKNOWN_IDS_MAX = 1_000
KEYS_TRIED_MAX = 8  # for a token that does not say which it was signed with
FRESH_FOR = timedelta(
    minutes=5
)  # A key that the issuer withdraws is trusted no longer than this, if it can be reached.

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


class Keys:
    """An unknown id or an old set is a cause to fetch it, at most every 3 s: ids that nobody has, however many, keep a
    new key out no longer than that. A fetch that fails leaves the last good set in place.
    """

    def __init__(self, source: str, clock: Clock) -> None:
        self._source = source
        self._clock = clock
        self._keys: Sequence[PyJWK] = ()
        self._unknown: dict[tuple[str, str], datetime] = {}  # by id and algorithm, with when it was found to be
        self._tried_at: datetime | None = None
        self._fetched_at: datetime | None = None
        self._fetching = asyncio.Lock()

    async def load(self) -> None:
        """Raises ConnectionError when the keys cannot be had now."""
        try:
            await self._fetch()
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise ConnectionError(f"the issuer's keys (HOLDSPACE_JWKS) cannot be read: {_told(error)}") from error

    async def of(self, key_id: str, algorithm: str) -> Sequence[PyJWK]:
        """Returns the keys that a token with these headers may be signed with: the one of its id, or those of its
        algorithm where the token, or the issuer, names none.
        """
        known = self._known(key_id, algorithm)
        if known and (self._fetching.locked() or self._is_fresh()):
            return known
        async with self._fetching:
            known = self._known(key_id, algorithm)
            has_cause = not self._is_fresh() or not (known or self._is_unknown(key_id, algorithm))
            if has_cause and self._may_fetch(BETWEEN_REFRESHES if known else BETWEEN_FETCHES):
                await self._fetch_or_keep()
                known = self._known(key_id, algorithm)
                if not known and self._is_fresh():
                    self._note_unknown(key_id, algorithm)
        return known

    def _known(self, key_id: str, algorithm: str) -> Sequence[PyJWK]:
        fitting = [key for key in self._keys if key.algorithm_name == algorithm]
        if not key_id:
            return fitting[:KEYS_TRIED_MAX]
        named = [key for key in fitting if key.key_id == key_id]
        return named or [key for key in fitting if not key.key_id][:KEYS_TRIED_MAX]

    def _is_unknown(self, key_id: str, algorithm: str) -> bool:
        found_at = self._unknown.get((key_id, algorithm))
        return found_at is not None and self._clock.now() - found_at < UNKNOWN_FOR

    def _note_unknown(self, key_id: str, algorithm: str) -> None:
        if len(self._unknown) >= UNKNOWN_IDS_MAX:
            del self._unknown[next(iter(self._unknown))]  # The oldest.
        self._unknown[key_id, algorithm] = self._clock.now()

    def _is_fresh(self) -> bool:
        return self._fetched_at is not None and self._clock.now() - self._fetched_at < FRESH_FOR

    def _may_fetch(self, between: timedelta) -> bool:
        return self._tried_at is None or self._clock.now() - self._tried_at >= between

    async def _fetch_or_keep(self) -> None:
        try:
            await self._fetch()
        except (aiohttp.ClientError, OSError, ValueError) as error:
            log.warning("the issuer's keys could not be fetched; the last good ones stay", cause=_told(error))

    async def _fetch(self) -> None:
        self._tried_at = self._clock.now()
        text = await _download(self._source) if self._source.startswith(("http://", "https://")) else await self._read()
        self._keys = _parse(text)
        self._fetched_at = self._clock.now()

    async def _read(self) -> str:
        return await asyncio.to_thread(Path(self._source).read_text)


async def _download(url: str) -> str:
    limit = aiohttp.ClientTimeout(total=FETCH_SECONDS_MAX)
    async with aiohttp.ClientSession(timeout=limit) as session, session.get(url, allow_redirects=False) as answer:
        answer.raise_for_status()
        return await answer.text()


def _parse(text: str) -> Sequence[PyJWK]:
    """Raises ValueError when there is no key in it that can be used: never a reason to drop those we have."""
    document = json.loads(text)
    listed = document.get("keys") if isinstance(document, dict) else None
    keys = [_key(entry) for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []
    usable = [key for key in keys if key is not None]
    if not usable:
        raise ValueError("no usable key in it")
    return usable


def _key(entry: dict[str, Any]) -> PyJWK | None:
    """Returns None for a key of another use or algorithm; a set may hold such."""
    if entry.get("use", "sig") != "sig" or not isinstance(entry.get("kid", ""), str):
        return None
    try:
        key = PyJWK(entry)
    except PyJWTError:
        return None
    return key if key.algorithm_name in ALGORITHMS else None


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
