"""JSON Web Key Sets: those of credentials, and those that are found at a URL and kept for a while."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from agentrun._core.values import is_list, is_object
from agentrun.emulator.clock import Clock
from agentrun.emulator.fetching import Fetcher, FetchError
from agentrun.emulator.wire.envelope import ServiceError

Key = Mapping[str, Any]
# How soon a URL is asked again after it failed, or because a token names a key that it did not have.
_REST_SECONDS = 1.0
_MOST_KEYS = 100
_PRIVATE = "d"


class KeySetError(ValueError):
    """A text is no set of public keys; says why."""


def read_keys(text: str | bytes) -> Sequence[Key]:
    """The keys of a set; raises KeySetError for what must not stand in one."""
    try:
        value: Any = json.loads(text)
    except ValueError as error:
        raise KeySetError("it is not JSON") from error
    keys: Any = value.get("keys") if is_object(value) else None
    if not is_list(keys) or not all(is_object(key) for key in keys):
        raise KeySetError('it must be an object with a list "keys"')
    if len(keys) > _MOST_KEYS:
        raise KeySetError(f"it has more than {_MOST_KEYS} keys")
    if any(key.get("kty") == "oct" for key in keys):
        raise KeySetError("it holds a shared secret (kty oct); use public keys, which everybody may see")
    if any(_PRIVATE in key for key in keys):
        raise KeySetError('it holds a private key (a member "d"); leave only the public half')
    return keys


@dataclass
class _Kept:
    keys: Sequence[Key] = ()
    fetched: float | None = None
    tried: float | None = None
    failure: str = ""
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class KeySets:
    """The sets at URLs; each is fetched by one request at a time, and never more than once a second."""

    def __init__(self, fetcher: Fetcher, clock: Clock) -> None:
        self._fetcher = fetcher
        self._clock = clock
        self._kept: dict[str, _Kept] = {}

    async def keys(self, uri: str, timeout: float, ttl: float, wanted: str | None) -> Sequence[Key]:
        """The keys at a URL, asked for anew after `ttl` seconds, or when none of them has the id `wanted`.

        Raises ServiceError (503) when they cannot be had: nobody is let in by keys that may be over.
        """
        kept = self._kept.setdefault(uri, _Kept())
        if not self._good(kept, ttl, wanted):
            async with kept.lock:
                if not self._good(kept, ttl, wanted) and not self._rests(kept):
                    await self._fetch(kept, uri, timeout)
        if kept.fetched is None or self._clock.now() - kept.fetched >= max(ttl, _REST_SECONDS):
            raise ServiceError(503, "ERR_KEY_SET_UNREACHABLE", f"the key set cannot be read: {kept.failure}")
        return kept.keys

    def _good(self, kept: _Kept, ttl: float, wanted: str | None) -> bool:
        if kept.fetched is None or self._clock.now() - kept.fetched >= ttl:
            return False
        return wanted is None or any(key.get("kid") == wanted for key in kept.keys)

    def _rests(self, kept: _Kept) -> bool:
        return kept.tried is not None and self._clock.now() - kept.tried < _REST_SECONDS

    async def _fetch(self, kept: _Kept, uri: str, timeout: float) -> None:
        kept.tried = self._clock.now()
        host = urlsplit(uri).hostname
        try:
            status, content = await self._fetcher.get(uri, timeout)
            if status != 200:
                raise FetchError(f"{host} answered with status {status}")
            kept.keys, kept.fetched = read_keys(content), self._clock.now()
        except (FetchError, KeySetError) as error:
            kept.failure = str(error) if isinstance(error, FetchError) else f"what {host} gives is none: {error}"
