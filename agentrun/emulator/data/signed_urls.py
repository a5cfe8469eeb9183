"""URLs that open one file of one sandbox for a while, without any other signature."""

from __future__ import annotations

import hmac
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import quote, urlencode

from agentrun._core.values import is_object
from agentrun.emulator.clock import Clock, iso
from agentrun.emulator.store import Scope
from agentrun.emulator.wire.envelope import ServiceError, forbidden, invalid

PATH = "filesystem/signed-url"
DOWNLOAD, UPLOAD = "download", "upload"
LONGEST_SECONDS = 86400
_DEFAULT_SECONDS = 3600
_FIELDS = ("path", "operation", "expiresInSeconds")
_LABEL = b"signed file URLs"
_METHODS = {DOWNLOAD: ("GET", "HEAD"), UPLOAD: ("PUT",)}
# The parts of a grant that its URL carries beside the sandbox in its path; the region is the emulator's.
_SHOWN = ("path", "operation", "account", "expires")


@dataclass(frozen=True)
class Grant:
    """What a URL allows: one operation on one path of one sandbox, until `expires` (seconds since 1970)."""

    account: str
    region: str
    sandbox_id: str
    path: str
    operation: str
    expires: int

    @property
    def scope(self) -> Scope:
        """Whose sandbox it is."""
        return Scope(self.account, self.region)


def derived_key(key: bytes) -> bytes:
    """The key of these URLs alone, made from the emulator's."""
    return hmac.digest(key, _LABEL, "sha256")


def sign(key: bytes, grant: Grant) -> str:
    """The signature of a grant: HMAC-SHA256 over all of its fields, in hexadecimal."""
    # JSON keeps apart what a plain join would let run together.
    return hmac.digest(key, json.dumps(asdict(grant), sort_keys=True).encode(), "sha256").hex()


def verify(key: bytes, grant: Grant, signature: str, now: float) -> None:
    """Check a signature and its time; raises ServiceError (403) with what to do."""
    if not hmac.compare_digest(sign(key, grant).encode(), signature.encode()):
        raise forbidden(
            "ERR_SIGNED_URL_INVALID", f"this URL was changed or is not ours: use it as it is, or {_ANOTHER}"
        )
    if grant.expires < now:
        raise forbidden("ERR_SIGNED_URL_EXPIRED", f"this URL expired at {iso(grant.expires)}; {_ANOTHER}")


_ANOTHER = f"ask for another with POST /sandboxes/{{id}}/{PATH}"


class SignedURLs:
    """Makes the URLs of one emulator and reads them again."""

    def __init__(self, key: bytes, clock: Clock) -> None:
        self._key = derived_key(key)
        self._clock = clock

    def make(self, origin: str, scope: Scope, sandbox_id: str, asked: Any) -> dict[str, str]:
        """The `url` and `expiresAt` for what a request's body asks; raises ServiceError (400)."""
        path, operation, seconds = _asked(asked)
        grant = Grant(*scope, sandbox_id, path, operation, math.ceil(self._clock.now() + seconds))
        shown = {name: getattr(grant, name) for name in _SHOWN}
        query = urlencode({**shown, "signature": sign(self._key, grant)})
        url = f"{origin}/sandboxes/{quote(sandbox_id, safe='')}/{PATH}?{query}"
        return {"url": url, "expiresAt": iso(grant.expires)}

    def read(self, method: str, region: str, sandbox_id: str, query: Mapping[str, str]) -> Grant:
        """What a URL allows; raises ServiceError: a wrong method (405), a wrong or expired URL (403)."""
        text = query.get("expires", "")
        expires = int(text) if text.isascii() and text.isdigit() and len(text) < 15 else 0
        operation = query.get("operation", "")
        grant = Grant(query.get("account", ""), region, sandbox_id, query.get("path", ""), operation, expires)
        verify(self._key, grant, query.get("signature", ""), self._clock.now())
        if method not in _METHODS[operation]:
            allowed = " or ".join(_METHODS[operation])
            raise ServiceError(405, "UnsupportedHTTPMethod", f"this URL is for {operation}: {allowed}, not {method}")
        return grant


def _asked(body: Any) -> tuple[str, str, int]:
    if not is_object(body):
        raise invalid(f"the body must be an object with {', '.join(_FIELDS)}")
    if unknown := [name for name in body if name not in _FIELDS]:
        raise invalid(f"{unknown[0]} is not a field of a signed URL: known are {', '.join(_FIELDS)}")
    path, operation = body.get("path"), body.get("operation")
    seconds = body.get("expiresInSeconds", _DEFAULT_SECONDS)
    if not isinstance(path, str) or not path:
        raise invalid("path is required: the file inside the sandbox, as text")
    if operation not in (DOWNLOAD, UPLOAD):
        raise invalid(f"operation must be {DOWNLOAD!r} or {UPLOAD!r}, not {operation!r}")
    if type(seconds) is not int or not 1 <= seconds <= LONGEST_SECONDS:
        raise invalid(f"expiresInSeconds must be a whole number from 1 to {LONGEST_SECONDS}, not {seconds!r}")
    return path, str(operation), seconds
