"""What a credential adds to a request: pure, for the SDK, the emulator and whoever else sends one.

A credential is read out of its fields as they travel. `proof` makes of it what a request has to carry; tokens of
OAuth2, which must be fetched first, are the business of `oauth2` and `Authorizer`.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any
from urllib.parse import quote, unquote_plus, urlsplit
from uuid import uuid4

from agentrun._core import signing
from agentrun.errors import CredentialError

AUTHORIZATION = "Authorization"
HEADER, QUERY, COOKIE = "header", "query", "cookie"
# Not where a key goes, but how: a key that is `user:password`.
BASIC = "basic"
OAUTH2 = "oauth2"
# A header's value without anything that could begin another line.
_SENDABLE = re.compile(r"[\x20-\x7e]*")
# Names of the provider whose signature this is, as consoles and documents write it.
_ALIBABA = ("aliyun", "alibaba", "alibabacloud", "alibaba_cloud", "alibaba-cloud")


@dataclass(frozen=True)
class Place:
    """Where a request carries a key: in a `header`, in the `query` or in a `cookie`, and under which name.

    `basic` is for a key that is a user and a password, as HTTP shows these.
    """

    where: str
    name: str


@dataclass(frozen=True)
class Outgoing:
    """A request before it has its proof; the URL is percent-encoded."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    body: bytes = field(default=b"", repr=False)


@dataclass(frozen=True)
class Proof:
    """What a request must carry: headers, pairs of its query, cookies."""

    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    query: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    cookies: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)

    def url(self, url: str) -> str:
        """A URL with the pairs of the query, in place of what it has under the same names."""
        if not self.query:
            return url
        whole, mark, fragment = url.partition("#")
        base, _, query = whole.partition("?")
        kept = [part for part in query.split("&") if part and unquote_plus(part.partition("=")[0]) not in self.query]
        added = [f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in self.query.items()]
        return f"{base}?{'&'.join([*kept, *added])}{mark}{fragment}"

    def all_headers(self, cookie: str = "") -> dict[str, str]:
        """The headers, with the cookies behind those that the request has already, in place of those of their names."""
        if not self.cookies:
            return dict(self.headers)
        sent = [pair.strip() for pair in cookie.split(";") if pair.strip()]
        kept = [pair for pair in sent if pair.partition("=")[0].strip() not in self.cookies]
        return {**self.headers, "Cookie": "; ".join([*kept, *(f"{k}={v}" for k, v in self.cookies.items())])}


@dataclass(frozen=True)
class Outbound:
    """A credential that is shown to others."""

    name: str
    auth_type: str
    public: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False)
    secret: str = field(default="", repr=False)
    enabled: bool = True

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Outbound:
        """The credential out of its fields as they travel."""
        return cls(
            document.get("credentialName") or "",
            document.get("credentialAuthType") or "",
            document.get("credentialPublicConfig") or {},
            document.get("credentialSecret") or "",
            document.get("enabled") is not False,
        )

    @property
    def parts(self) -> Mapping[str, str]:
        """The named parts of the credential: `authConfig`."""
        return self.public.get("authConfig") or {}

    @property
    def needs_token(self) -> bool:
        """Whether requests carry a token that has to be fetched first."""
        return self.auth_type == "jwt" and self.public.get("authType") == OAUTH2

    @property
    def needs_whole_request(self) -> bool:
        """Whether a request has to be there as a whole: to sign it, or to send it again with another token."""
        return self.needs_token or self.auth_type == "ak_sk"

    def check_enabled(self) -> None:
        """Raise CredentialError when it may not be used."""
        if not self.enabled:
            raise disabled(self.name)


def disabled(name: str) -> CredentialError:
    """The error for a credential that may not be used."""
    return CredentialError(name, "it is disabled", hint="Enable it, or name another one")


def proof(credential: Outbound, request: Outgoing, place: Place | None = None, *, token: str | None = None) -> Proof:
    """What a request carries to show a credential; `place` says where a key goes, as a security scheme does.

    Raises CredentialError when the credential is disabled, or cannot be shown in a request.
    """
    credential.check_enabled()
    if token is not None:
        return _bearer(token)
    if credential.needs_token:
        raise CredentialError(credential.name, "its token has to be fetched first, which is not done here")
    make = _KINDS.get(credential.auth_type)
    if make is None:
        raise CredentialError(credential.name, f"nothing is known of the kind {credential.auth_type or 'without name'}")
    found = make(credential, request, place)
    for value in (*found.headers.values(), *found.cookies.values()):
        # Told here, because who sends it would repeat the value in its error.
        if not _SENDABLE.fullmatch(value):
            raise CredentialError(credential.name, "it has characters that no header can carry, such as a line's end")
    return found


def _require(credential: Outbound, value: str | None, what: str) -> str:
    if not value:
        raise CredentialError(credential.name, f"it has no {what}", hint="Update it with all of its parts")
    return value


def _bearer(token: str) -> Proof:
    return Proof({AUTHORIZATION: f"Bearer {token}"})


def _api_key(credential: Outbound, request: Outgoing, place: Place | None) -> Proof:
    key = _require(credential, credential.secret, "key")
    found = place or _own_place(credential)
    if found.where == BASIC:
        return _basic(credential, request, place)
    prefix = credential.public.get("prefix")
    if prefix is None:
        prefix = "Bearer " if found.where == HEADER and found.name.lower() == "authorization" else ""
    return _placed(credential, found, f"{prefix}{key}")


def _own_place(credential: Outbound) -> Place:
    parts = credential.parts
    if parts.get("in"):
        return Place(parts["in"], _require(credential, parts.get("name"), "name for its key (authConfig.name)"))
    return Place(HEADER, credential.public.get("headerKey") or AUTHORIZATION)


def _placed(credential: Outbound, place: Place, value: str) -> Proof:
    if place.where == HEADER:
        return Proof({place.name: value})
    if place.where == QUERY:
        return Proof(query={place.name: value})
    if place.where == COOKIE:
        if ";" in value:
            raise CredentialError(credential.name, "it has a semicolon, with which a cookie's value ends")
        return Proof(cookies={place.name: value})
    raise CredentialError(credential.name, f"a key goes into a header, the query or a cookie, not into {place.where!r}")


def _basic(credential: Outbound, request: Outgoing, place: Place | None) -> Proof:
    users: Sequence[Mapping[str, str]] = credential.public.get("users") or ()
    if len(users) > 1 or not (users or credential.secret):
        raise CredentialError(credential.name, f"a request shows one user, and it has {len(users)}")
    # Who has no list of users may have written `user:password` as the secret.
    pair = f"{users[0].get('username') or ''}:{users[0].get('password') or ''}" if users else credential.secret
    return Proof({AUTHORIZATION: f"Basic {base64.b64encode(pair.encode()).decode()}"})


def _jwt(credential: Outbound, request: Outgoing, place: Place | None) -> Proof:
    return _bearer(_require(credential, credential.secret, "token"))


def _custom_header(credential: Outbound, request: Outgoing, place: Place | None) -> Proof:
    if not credential.parts:
        raise CredentialError(credential.name, "it has no headers", hint="Give it headers in authConfig")
    return Proof(dict(credential.parts))


def _access_key(credential: Outbound, request: Outgoing, place: Place | None) -> Proof:
    provider = str(credential.public.get("provider") or "")
    if provider.lower() not in _ALIBABA:
        raise CredentialError(
            credential.name,
            f"no signature is known for the provider {provider!r}; those of {_ALIBABA[0]} are made here",
            hint='Sign with its parts yourself: credential_public_config["authConfig"]',
        )
    key_id = _require(credential, credential.parts.get("accessKey"), "access key id")
    secret = _require(credential, credential.secret, "access key secret")
    return Proof(acs3_headers(request, key_id, secret, credential.parts.get("securityToken")))


def acs3_headers(request: Outgoing, key_id: str, secret: str, security_token: str | None = None) -> dict[str, str]:
    """The headers with which Alibaba Cloud accepts a request; its `x-acs-*` headers are signed with them."""
    parts = urlsplit(request.url)
    given = {name.lower(): value for name, value in request.headers.items()}
    digest = hashlib.sha256(request.body).hexdigest()
    own = {
        "x-acs-date": signing.timestamp(datetime.now(timezone.utc)),
        "x-acs-signature-nonce": uuid4().hex,
        "x-acs-content-sha256": digest,
    }
    if security_token:
        own |= {"x-acs-accesskey-id": key_id, "x-acs-security-token": security_token}
    signed = {"host": parts.netloc.rpartition("@")[2], **_signed_anyway(given), **own}
    query = signing.decoded_query(parts.query)
    signature = signing.sign_control(secret, request.method, parts.path or "/", query, signed, signed, digest)
    return {**own, AUTHORIZATION: signing.control_authorization(key_id, signed, signature)}


def _signed_anyway(given: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in given.items() if name.startswith("x-acs-") or name == "content-type"}


_KINDS: Mapping[str, Callable[[Outbound, Outgoing, Place | None], Proof]] = {
    "api_key": _api_key,
    "basic": _basic,
    "jwt": _jwt,
    "ak_sk": _access_key,
    "custom_header": _custom_header,
}
