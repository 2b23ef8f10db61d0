"""The issuer's public keys (JWKS, RFC 7517), from a file or a URL, fetched again when there is cause."""

import asyncio
import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import structlog
from jwt import PyJWK, PyJWTError

from kernel.clock import Clock

ALGORITHMS = ("EdDSA", "ES256", "RS256")
FETCH_SECONDS_MAX = 3
BETWEEN_FETCHES = timedelta(seconds=30)
FRESH_FOR = timedelta(
    minutes=5
)  # A key that the issuer withdraws is trusted no longer than this, if it can be reached.

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


class Keys:
    """Keys by key id. An unknown id or an old set is a cause to fetch, at most every 30 s.

    A fetch that fails leaves the last good set in place.
    """

    def __init__(self, source: str, clock: Clock) -> None:
        self._source = source
        self._clock = clock
        self._keys: Mapping[str, PyJWK] = {}
        self._tried_at: datetime | None = None
        self._fetched_at: datetime | None = None
        self._fetching = asyncio.Lock()

    async def load(self) -> None:
        """Raises ConnectionError when the keys cannot be had now."""
        try:
            await self._fetch()
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise ConnectionError(f"the issuer's keys (HOLDSPACE_JWKS) cannot be read: {_told(error)}") from error

    async def key(self, key_id: str) -> PyJWK | None:
        """Returns the key, or None when the issuer has none of that id."""
        known = self._keys.get(key_id)
        if known is not None and (self._fetching.locked() or self._is_fresh()):
            return known
        async with self._fetching:
            if self._may_fetch() and (key_id not in self._keys or not self._is_fresh()):
                await self._fetch_or_keep()
        return self._keys.get(key_id)

    def _is_fresh(self) -> bool:
        return self._fetched_at is not None and self._clock.now() - self._fetched_at < FRESH_FOR

    def _may_fetch(self) -> bool:
        return self._tried_at is None or self._clock.now() - self._tried_at >= BETWEEN_FETCHES

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


def _parse(text: str) -> Mapping[str, PyJWK]:
    """Raises ValueError when there is no key in it that can be used: never a reason to drop those we have."""
    document = json.loads(text)
    listed = document.get("keys") if isinstance(document, dict) else None
    keys = [_key(entry) for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []
    usable = {key.key_id: key for key in keys if key is not None and key.key_id is not None}
    if not usable:
        raise ValueError("no usable key in it")
    return usable


def _key(entry: dict[str, Any]) -> PyJWK | None:
    """Returns None for a key of another use or algorithm; a set may hold such."""
    if entry.get("use", "sig") != "sig" or not isinstance(entry.get("kid"), str):
        return None
    try:
        key = PyJWK(entry)
    except PyJWTError:
        return None
    return key if key.algorithm_name in ALGORITHMS else None


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
