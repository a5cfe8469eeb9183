"""Who may call a gateway: the API keys that it accepts, of which it remembers only hashes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from agentrun._serving.openai_error import ApiError
from agentrun.gateway.call import Caller

ACCESS_TOKEN_HEADER = "agentrun-access-token"  # the name of a header
_HEADERS = (ACCESS_TOKEN_HEADER, "x-api-key", "api-key")


def presented_key(headers: Mapping[str, str], *more: str) -> str:
    """The API key that a request shows, in any of the headers that clients use; empty when it shows none."""
    for name in (*more, *_HEADERS):
        if value := headers.get(name.lower()):
            return value.removeprefix("Bearer ").strip()
    scheme, _, key = headers.get("authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else ""


def missing_key() -> ApiError:
    """The error for a request without a key."""
    text = f"There is no API key: send the header 'Authorization: Bearer KEY' or '{ACCESS_TOKEN_HEADER}: KEY'."
    return ApiError(401, text, "missing_api_key", headers={"www-authenticate": "Bearer"})


def wrong_key() -> ApiError:
    """The error for a key that is not accepted."""
    return ApiError(401, "API key mismatch: the key is not one of those that are accepted.", "invalid_api_key")


class Keys:
    """Accepts keys; without any, everybody is let in."""

    def __init__(self, callers: Mapping[str, Caller]) -> None:
        self._callers = {_hashed(key): caller for key, caller in callers.items()}

    def caller(self, headers: Mapping[str, str]) -> Caller:
        """Who a request comes from; raises ApiError (401)."""
        if not self._callers:
            return Caller()
        key = presented_key(headers)
        if not key:
            raise missing_key()
        # A look-up by hash tells nothing by the time it takes.
        caller = self._callers.get(_hashed(key))
        if caller is None:
            raise wrong_key()
        return caller


def _hashed(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
