"""The texts of a credential by their names, for who does not send the request itself, and the hosts they may go to."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from agentrun._core.outbound import Outbound
from agentrun.emulator.backends.injection.hosts import AllowedHost, read_hosts
from agentrun.emulator.backends.injection.placeholders import Unavailable, Usable
from agentrun.emulator.outbound import OutboundCredentials
from agentrun.emulator.references import REFERENCE, VALUE
from agentrun.emulator.store import Scope
from agentrun.errors import CredentialError

ALLOWED_HOSTS = "allowedHosts"
SECRET = "secret"
_ACCESS_KEY = "ak_sk"


def find_usable(credentials: OutboundCredentials, scope: Scope, name: str) -> Usable:
    """What may be put in for code that has only placeholders; raises Unavailable with the reason when nothing may."""
    try:
        found = credentials.current(scope, name)
    except CredentialError as error:
        raise Unavailable(str(error)) from None
    if found.auth_type == _ACCESS_KEY:
        raise Unavailable(
            f"the credential {name} is an access key, which signs requests; code that has only a placeholder "
            "cannot sign, so it needs the key itself or a call from outside"
        )
    return Usable(_parts(found), _hosts(found))


def filled(credentials: OutboundCredentials, scope: Scope, texts: Mapping[str, str]) -> tuple[dict[str, str], set[str]]:
    """Texts with the secrets where they say `${credential:NAME}`, and the names of the credentials that are in them.

    Raises Unavailable with the reason.
    """
    used: set[str] = set()

    def value(match: re.Match[str]) -> str:
        kind, name, part = match.groups()
        if kind != VALUE:
            return match[0]
        try:
            parts = _parts(credentials.current(scope, name))
        except CredentialError as error:
            raise Unavailable(str(error)) from None
        used.add(name)
        return parts[known_part(name, part or "", parts)]

    return {name: REFERENCE.sub(value, text) for name, text in texts.items()}, used


def known_part(name: str, part: str, parts: Mapping[str, str]) -> str:
    """The name of a part that was asked for, or of the only one; raises Unavailable."""
    if not part and len(parts) == 1:
        return next(iter(parts))
    if part not in parts:
        known = ", ".join(parts)
        raise Unavailable(f"the credential {name} has the parts {known}; " + (f"not {part}" if part else "say which"))
    return part


def _hosts(credential: Outbound) -> tuple[AllowedHost, ...]:
    try:
        return read_hosts(credential.public.get(ALLOWED_HOSTS) or ())
    except ValueError as error:
        raise Unavailable(f"the {ALLOWED_HOSTS} of credential {credential.name} cannot be read: {error}") from None


def _parts(credential: Outbound) -> dict[str, str]:
    """The texts by their names: `secret`, or what the kind of the credential calls them."""
    named = _NAMED.get(credential.auth_type, _only_secret)(credential)
    texts = {name: text for name, text in named.items() if isinstance(text, str) and text}
    if not texts:
        raise Unavailable(f"the credential {credential.name} of type {credential.auth_type} has no secret to send")
    return texts


def _only_secret(credential: Outbound) -> Mapping[str, Any]:
    return {SECRET: credential.secret}


def _user(credential: Outbound) -> Mapping[str, Any]:
    users: Sequence[Mapping[str, Any]] = credential.public.get("users") or ({},)
    return {name: users[0].get(name) for name in ("username", "password")}


_NAMED: Mapping[str, Callable[[Outbound], Mapping[str, Any]]] = {
    "basic": _user,
    "custom_header": lambda credential: credential.parts,
    _ACCESS_KEY: lambda credential: {**credential.parts, SECRET: credential.secret},
}
