"""What a credential shows to others, and where: the texts that may leave for the hosts that it names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agentrun._serving.values import section
from agentrun.emulator.backends.injection.hosts import AllowedHost, read_hosts
from agentrun.emulator.backends.injection.placeholders import Outbound, Unavailable
from agentrun.emulator.resources import Resources
from agentrun.emulator.store import Record, Scope

ALLOWED_HOSTS = "allowedHosts"
SECRET = "secret"


def find_outbound(credentials: Resources, scope: Scope, name: str) -> Outbound:
    """What a credential is now; raises Unavailable with the reason when nobody may use it."""
    record = credentials.find_by_name(scope, name)
    if record is None:
        raise Unavailable(f"there is no credential {name}")
    if not record.document.get("enabled", True):
        raise Unavailable(f"the credential {name} is disabled")
    return Outbound(_parts(record), _hosts(record))


def _hosts(record: Record) -> tuple[AllowedHost, ...]:
    given = section(record.document, "credentialPublicConfig").get(ALLOWED_HOSTS) or ()
    try:
        return read_hosts(given)
    except ValueError as error:
        raise Unavailable(f"the {ALLOWED_HOSTS} of credential {record.name} cannot be read: {error}") from None


def _parts(record: Record) -> dict[str, str]:
    """The texts by their names: `secret`, or what the kind of the credential calls them."""
    kind, public = record.document["credentialAuthType"], section(record.document, "credentialPublicConfig")
    if kind == "ak_sk":
        raise Unavailable(
            f"the credential {record.name} is an access key, which signs requests; code that has only a placeholder "
            "cannot sign, so it needs the key itself or a call from outside"
        )
    found = _named(kind, record, public)
    texts = {name: text for name, text in found.items() if isinstance(text, str) and text}
    if not texts:
        raise Unavailable(f"the credential {record.name} of type {kind} has no secret to send")
    return texts


def _named(kind: str, record: Record, public: Mapping[str, Any]) -> Mapping[str, Any]:
    if kind == "basic":
        users: Sequence[Mapping[str, Any]] = public.get("users") or ({},)
        return {name: users[0].get(name) for name in ("username", "password")}
    return (
        section(public, "authConfig") if kind == "custom_header" else {SECRET: record.document.get("credentialSecret")}
    )
