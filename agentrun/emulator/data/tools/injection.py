"""What a tool's credential adds to a request on its way, so that the caller never sees it."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

from agentrun._serving.upstream import Headers
from agentrun._serving.values import section
from agentrun.emulator.resources import Resources
from agentrun.emulator.store import Record
from agentrun.emulator.wire.envelope import conflict, unsupported

_AUTHORIZATION = "authorization"


@dataclass(frozen=True)
class Injection:
    """Headers, query parameters and cookies that replace what the caller sent under the same names."""

    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    query: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    cookies: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)

    def into_headers(self, given: Headers) -> Headers:
        """The headers of a request with ours."""
        own = {name.lower().encode(): value.encode() for name, value in self.headers.items()}
        if self.cookies:
            own[b"cookie"] = self._cookie(given)
        return [*(pair for pair in given if pair[0] not in own), *own.items()]

    def into_query(self, given: str) -> str:
        """The query of a request with ours; what else is in it stays as it is written."""
        kept = [part for part in given.split("&") if part and part.partition("=")[0] not in self.query]
        return "&".join([*kept, urlencode(self.query)] if self.query else kept)

    def _cookie(self, given: Headers) -> bytes:
        sent = "; ".join(value.decode("latin-1") for name, value in given if name == b"cookie")
        kept = [part.strip() for part in sent.split(";") if part.strip() and _cookie_name(part) not in self.cookies]
        return "; ".join([*kept, *(f"{name}={value}" for name, value in self.cookies.items())]).encode("latin-1")


def _cookie_name(part: str) -> str:
    return part.partition("=")[0].strip()


def injection_of(tool: Record, credentials: Resources, scheme: Mapping[str, Any] | None = None) -> Injection:
    """What the credential that a tool names adds; `scheme` is the security scheme of its OpenAPI document.

    Raises ServiceError: the credential is gone or disabled (409), or of a kind that cannot be sent (501).
    """
    name = tool.document.get("credentialName")
    if not name:
        return Injection()
    credential = credentials.find_by_name(tool.scope, name)
    if credential is None:
        raise conflict(f"credential {name} of tool {tool.name} does not exist any more")
    if credential.document.get("enabled") is False:
        raise conflict(f"credential {name} of tool {tool.name} is disabled")
    return _by_scheme(credential, scheme) if scheme else _by_credential(credential)


def _by_credential(credential: Record) -> Injection:
    kind = credential.document["credentialAuthType"]
    public = section(credential.document, "credentialPublicConfig")
    if kind == "custom_header":
        return Injection({name: str(value) for name, value in section(public, "authConfig").items()})
    if kind == "basic":
        return Injection({_AUTHORIZATION: _basic(credential)})
    if kind != "api_key":
        raise unsupported(f"credential {credential.name}: the emulator sends no credentials of type {kind} to tools")
    header = str(public.get("headerKey") or _AUTHORIZATION)
    prefix = public.get("prefix")
    if prefix is None:
        prefix = "Bearer " if header.lower() == _AUTHORIZATION else ""
    return Injection({header: f"{prefix}{_secret(credential)}"})


def _by_scheme(credential: Record, scheme: Mapping[str, Any]) -> Injection:
    kind, place, name = scheme.get("type"), scheme.get("in"), str(scheme.get("name") or "")
    if credential.document["credentialAuthType"] == "custom_header":
        return _by_credential(credential)
    if kind == "http" and str(scheme.get("scheme", "")).lower() == "basic":
        return Injection({_AUTHORIZATION: _basic(credential)})
    if kind == "http" and str(scheme.get("scheme", "")).lower() == "bearer":
        return Injection({_AUTHORIZATION: f"Bearer {_secret(credential)}"})
    if kind == "apiKey" and name and place == "header":
        return Injection({name: _secret(credential)})
    if kind == "apiKey" and name and place == "query":
        return Injection(query={name: _secret(credential)})
    if kind == "apiKey" and name and place == "cookie":
        return Injection(cookies={name: quote(_secret(credential), safe="")})
    raise unsupported(f"the emulator knows the security schemes apiKey and http with basic or bearer, not {kind}")


def _secret(credential: Record) -> str:
    secret: str = credential.document.get("credentialSecret") or ""
    if not secret:
        raise conflict(f"credential {credential.name} has no credentialSecret")
    return secret


def _basic(credential: Record) -> str:
    """The first user of a credential with users; else its secret, `user:password`."""
    users: list[Mapping[str, str]] = section(credential.document, "credentialPublicConfig").get("users") or []
    pair = f"{users[0].get('username')}:{users[0].get('password')}" if users else _secret(credential)
    return f"Basic {base64.b64encode(pair.encode()).decode()}"
