"""Tokens of OAuth2: fetched when they are needed, kept until shortly before they end, by one request at a time.

How a request is sent is given from outside. No error holds a secret: of what a token server says only its error code
is repeated, because the rest may echo what it was sent.
"""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias, cast
from urllib.parse import quote_plus, urlencode, urlsplit

from agentrun._core.outbound import Outbound
from agentrun._core.turns import OneAtATime
from agentrun.errors import CredentialError

CLIENT_CREDENTIALS, REFRESH_TOKEN = "client_credentials", "refresh_token"
GRANTS = (CLIENT_CREDENTIALS, REFRESH_TOKEN)
_CLIENT_AUTHS = ("basic", "body")
_MOST_EARLY_SECONDS = 60.0
_EARLY_PART = 0.1
_CODE = re.compile(r"[a-z_]{1,40}")

Post: TypeAlias = Callable[[str, Mapping[str, str], bytes], Awaitable["tuple[int, bytes]"]]
"""Sends a body to a URL with some headers; gives the status and the body of the answer."""
Rotated: TypeAlias = Callable[[str], Awaitable[None]]
"""Keeps the refresh token that a server gave in place of the one it was shown."""


@dataclass(frozen=True)
class Grant:
    """How tokens are asked for; `client_auth` is where the client's secret goes: `basic` or `body`."""

    credential: str
    kind: str
    token_url: str
    client_id: str
    client_secret: str = field(repr=False)
    scope: str = ""
    audience: str = ""
    client_auth: str = "basic"
    refresh_token: str = field(default="", repr=False)

    @classmethod
    def of(cls, credential: Outbound) -> Grant:
        """The grant that a credential describes; raises CredentialError when a part of it is missing or wrong."""
        grant = cls.of_parts(credential.name, credential.parts, credential.secret)
        if problem := grant.problem():
            raise CredentialError(credential.name, problem, hint="Make it with CredentialConfig.outbound_oauth2_*")
        return grant

    @classmethod
    def of_parts(cls, credential: str, parts: Mapping[str, str], secret: str) -> Grant:
        """The grant out of the parts of a credential, right or wrong."""
        return cls(
            credential,
            parts.get("grantType", ""),
            parts.get("tokenUrl", ""),
            parts.get("clientId", ""),
            secret,
            parts.get("scope", ""),
            parts.get("audience", ""),
            parts.get("clientAuth") or _CLIENT_AUTHS[0],
            parts.get("refreshToken", ""),
        )

    def problem(self) -> str | None:
        """What is missing or wrong, None when nothing is."""
        if self.kind not in GRANTS:
            return f"authConfig.grantType must be one of {', '.join(GRANTS)}, not {self.kind!r}"
        parts = urlsplit(self.token_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            return "authConfig.tokenUrl must be the http or https URL that tokens are asked for at"
        if not self.client_id:
            return "authConfig.clientId is required"
        if self.kind == REFRESH_TOKEN and not self.refresh_token:
            return "authConfig.refreshToken is required"
        if self.client_auth not in _CLIENT_AUTHS:
            return f"authConfig.clientAuth must be one of {', '.join(_CLIENT_AUTHS)}, not {self.client_auth!r}"
        return None

    def request(self, refresh_token: str = "") -> tuple[str, dict[str, str], bytes]:
        """The URL, headers and body that ask for a token."""
        fields = {"grant_type": self.kind, "scope": self.scope, "audience": self.audience}
        headers = {"accept": "application/json", "content-type": "application/x-www-form-urlencoded"}
        if self.kind == REFRESH_TOKEN:
            fields["refresh_token"] = refresh_token or self.refresh_token
        if self.client_auth == "basic" and self.client_secret:
            # The parts are encoded before they are joined (RFC 6749, 2.3.1).
            pair = f"{quote_plus(self.client_id)}:{quote_plus(self.client_secret)}"
            headers["authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        else:
            fields |= {"client_id": self.client_id, "client_secret": self.client_secret}
        return self.token_url, headers, urlencode({key: value for key, value in fields.items() if value}).encode()


@dataclass(frozen=True)
class Token:
    """An access token; `until` is the time in seconds from which on a new one is asked for, None for never."""

    value: str = field(repr=False)
    until: float | None = None
    refresh_token: str = field(default="", repr=False)


def read_token(grant: Grant, status: int, content: bytes, now: float) -> Token:
    """The token in the answer of a token server; raises CredentialError."""
    server = urlsplit(grant.token_url).hostname
    fields = _fields(content)
    value = fields.get("access_token")
    if status != 200 or not isinstance(value, str) or not value:
        said = fields.get("error")
        code = said if isinstance(said, str) and _CODE.fullmatch(said) else None
        reason = f"the token server {server} refused it with status {status}" + (f" ({code})" if code else "")
        if status == 200 and code is None:
            reason = f"the token server {server} answered without an access token"
        raise CredentialError(grant.credential, reason, hint="Check the client's id, its secret and the token URL")
    if str(fields.get("token_type") or "bearer").lower() != "bearer":
        raise CredentialError(grant.credential, f"the token server {server} gave a token that is no bearer token")
    return Token(value, _until(fields.get("expires_in"), now), str(fields.get("refresh_token") or ""))


def _fields(content: bytes) -> dict[str, Any]:
    try:
        value: Any = json.loads(content)
    except ValueError:
        return {}
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _until(seconds: Any, now: float) -> float | None:
    """When to ask again: a little before the end, so that no request carries a token that ends on its way."""
    try:
        lifetime = float(seconds)
    except (TypeError, ValueError):
        return None
    return now + lifetime - min(_MOST_EARLY_SECONDS, lifetime * _EARLY_PART)


class Tokens:
    """The token of one grant; whoever asks while it is fetched waits for the same one."""

    def __init__(
        self, grant: Grant, post: Post, *, clock: Callable[[], float] = time.time, rotated: Rotated | None = None
    ) -> None:
        self.grant = grant
        self._post = post
        self._clock = clock
        self._rotated = rotated
        self._refresh_token = grant.refresh_token
        self._kept: Token | None = None
        self._turn = OneAtATime()

    def serve(self, grant: Grant) -> bool:
        """Whether these are the tokens of a grant; one refresh token takes the place of another."""
        same = replace(grant, refresh_token="") == replace(self.grant, refresh_token="")
        return same and grant.refresh_token in (self.grant.refresh_token, self._refresh_token)

    async def get(self, refused: str | None = None) -> str:
        """The token; not the one that was `refused`, by an answer with status 401. Raises CredentialError."""
        if (found := self._good(refused)) is not None:
            return found
        async with self._turn():
            # Somebody else may have fetched it while we waited.
            if (found := self._good(refused)) is not None:
                return found
            return await self._fetch()

    def _good(self, refused: str | None) -> str | None:
        kept = self._kept
        if kept is None or kept.value == refused or (kept.until is not None and self._clock() >= kept.until):
            return None
        return kept.value

    async def _fetch(self) -> str:
        status, content = await self._post(*self.grant.request(self._refresh_token))
        token = read_token(self.grant, status, content, self._clock())
        self._kept = token
        if token.refresh_token and token.refresh_token != self._refresh_token:
            self._refresh_token = token.refresh_token
            if self._rotated and self.grant.kind == REFRESH_TOKEN:
                await self._rotated(token.refresh_token)
        return token.value
