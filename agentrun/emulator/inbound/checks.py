"""The checks of what callers show: an API key, a user and password, a signed token."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from agentrun._core.values import section
from agentrun.emulator.inbound.refusal import REALM, NotAdmitted

AUTHORIZATION = "authorization"


class Check(Protocol):
    """Finds out whether callers show what a credential asks for; `header` is where, in lower case."""

    @property
    def header(self) -> str:
        """The header that callers use."""
        ...

    async def check(self, headers: Mapping[str, str], now: float) -> None:
        """Return when a request shows it; raises NotAdmitted."""
        ...


@dataclass(frozen=True)
class Until:
    """Something that counts until a moment; None means always."""

    value: str = field(repr=False)
    until: float | None = None


def accepted(given: str, values: Iterable[Until], now: float) -> bool:
    """Whether a text is one of those that count now; the time it takes tells nothing of them."""
    matches = [
        hmac.compare_digest(given.encode(), known.value.encode())
        for known in values
        if known.value and (known.until is None or now < known.until)
    ]
    return any(matches)


@dataclass(frozen=True)
class KeyCheck:
    """An API key in a header, with `Bearer ` or the credential's own prefix before it or without."""

    header: str
    keys: Sequence[Until]
    prefix: str = ""

    async def check(self, headers: Mapping[str, str], now: float) -> None:
        """Return when a request shows the key; raises NotAdmitted."""
        given = headers.get(self.header, "").strip()
        if not without_scheme(given):
            shown = "Authorization: Bearer KEY" if self.header == AUTHORIZATION else f"{self.header}: KEY"
            raise NotAdmitted(f"callers must send an API key in the header '{shown}'", self._challenge, given=False)
        if not any(accepted(each, self.keys, now) for each in self._readings(given)):
            raise NotAdmitted(f"the API key in the header {self.header} is wrong", self._challenge, given=True)

    def _readings(self, given: str) -> set[str]:
        """What of a header may be the key: without what may stand before it."""
        return {given, without_scheme(given), given.removeprefix(self.prefix).strip()}

    @property
    def _challenge(self) -> str:
        return f"Bearer {REALM}" if self.header == AUTHORIZATION else f'ApiKey {REALM}, header="{self.header}"'


def without_scheme(value: str) -> str:
    """The value of a header without the scheme `Bearer` before it, if it has that."""
    scheme, _, rest = value.partition(" ")
    return rest.strip() if scheme.lower() == "bearer" else value


@dataclass(frozen=True)
class UserCheck:
    """A user's name and password."""

    users: Sequence[Until]
    header: str = AUTHORIZATION

    async def check(self, headers: Mapping[str, str], now: float) -> None:
        """Return when a request is one of the users'; raises NotAdmitted."""
        challenge = f'Basic {REALM}, charset="UTF-8"'
        scheme, _, encoded = headers.get(AUTHORIZATION, "").partition(" ")
        if scheme.lower() != "basic":
            text = "callers must send a user's name and password in the header 'Authorization: Basic ...'"
            raise NotAdmitted(text, challenge, given=False)
        if not accepted(_pair(encoded), self.users, now):
            raise NotAdmitted("the user's name or password is wrong", challenge, given=True)


def _pair(encoded: str) -> str:
    try:
        return base64.b64decode(encoded.strip(), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""


def key_check(document: Mapping[str, Any]) -> KeyCheck:
    """The check of a credential with an API key."""
    public, previous = section(document, "credentialPublicConfig"), section(document, "previous")
    keys = [Until(document.get("credentialSecret") or ""), Until(previous.get("secret") or "", previous.get("until"))]
    header = public.get("headerKey") or AUTHORIZATION
    return KeyCheck(header.lower(), keys, public.get("prefix") or "")


def user_check(document: Mapping[str, Any]) -> UserCheck:
    """The check of a credential with users."""
    previous = section(document, "previous")
    users = [*_pairs(section(document, "credentialPublicConfig"), None), *_pairs(previous, previous.get("until"))]
    return UserCheck(users)


def _pairs(config: Mapping[str, Any], until: float | None) -> list[Until]:
    return [
        Until(f"{user['username']}:{user['password']}", until)
        for user in config.get("users") or ()
        if user.get("username") and user.get("password")
    ]
