"""Credentials: kept encrypted, shown whole to a get, masked to a list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from agentrun._core.oauth2 import Grant
from agentrun._core.outbound import OAUTH2
from agentrun._core.values import section
from agentrun.emulator.control.call import Call, Handler
from agentrun.emulator.control.credential_parts import ALLOWED_HOSTS
from agentrun.emulator.inbound.gate import INTERNAL, KINDS
from agentrun.emulator.inbound.key_sets import KeySetError, read_keys
from agentrun.emulator.resources import Kind, Resources
from agentrun.emulator.store import Record, Scope, field_in, field_is, matches
from agentrun.emulator.usage import WORDS, Usage
from agentrun.emulator.wire.envelope import invalid

KIND = Kind(
    "Credential",
    "credential",
    "Credential",
    "credentialId",
    "credentialName",
    "cred",
    updated_field="updatedAt",
    secrets=(
        "credentialSecret",
        "credentialPublicConfig.users",
        "credentialPublicConfig.authConfig",
        "previous.secret",
        "previous.users",
    ),
    by_name=True,
)
# The contract has no enums; these are the values that its documents name.
AUTH_TYPES = ("jwt", "api_key", "basic", "ak_sk", "custom_header")
SOURCE_TYPES = ("external_llm", "external_tool", "internal")
# An extension travels in the one place that takes any names; it is an instruction, and not kept.
_GRACE = "previousValidSeconds"
_LONGEST_GRACE = 30 * 24 * 3600


def _require_member(field: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise invalid(f"{field} must be one of {', '.join(allowed)}, not {value}")


class Credentials:
    """The operations on credentials."""

    def __init__(self, resources: Resources, usage: Usage) -> None:
        self._resources = resources
        self._usage = usage

    def handlers(self) -> Mapping[str, Handler]:
        """The operations by their actions."""
        return {
            "CreateCredential": self.create,
            "GetCredential": self.get,
            "UpdateCredential": self.update,
            "DeleteCredential": self.delete,
            "ListCredentials": self.list,
        }

    async def create(self, call: Call) -> dict[str, Any]:
        """Add a credential; it is enabled unless the caller says otherwise."""
        body = call.body
        _require_member("credentialAuthType", body["credentialAuthType"], AUTH_TYPES)
        _require_member("credentialSourceType", body["credentialSourceType"], SOURCE_TYPES)
        if _grace(body):
            raise invalid(f"credentialPublicConfig.authConfig.{_GRACE}: a new credential has nothing previous")
        _check_content(body)
        record = self._resources.create(call.tenant, body["credentialName"], {"enabled": True, **body})
        return self._shown(call, record)

    async def get(self, call: Call) -> dict[str, Any]:
        """The whole credential, with its secret."""
        return self._shown(call, self._resources.get(call.scope, call.label))

    async def update(self, call: Call) -> dict[str, Any]:
        """Change what is given; what callers have shown until now counts no more, or for as long as is asked for."""
        record = self._resources.get(call.scope, call.label)
        changes, seconds = _without_grace(call.body), _grace(call.body)
        _keep_hosts(record.document, changes)
        _check_content({**record.document, **changes})
        if "credentialSecret" in changes or "credentialPublicConfig" in changes:
            changes["previous"] = self._previous(record, seconds) if seconds else None
        elif seconds:
            raise invalid(f"credentialPublicConfig.authConfig.{_GRACE}: give the new secret or the new users with it")
        return self._shown(call, self._resources.update(record, changes))

    async def delete(self, call: Call) -> dict[str, Any]:
        """Remove a credential."""
        record = self._resources.get(call.scope, call.label)
        shown = self._shown(call, self._resources.delete(record))
        self._usage.forget(call.scope, record.id)
        return shown

    def require(self, scope: Scope, name: str | None) -> Record | None:
        """The credential that a resource names, None when it names none; raises ServiceError (400)."""
        if not name:
            return None
        record = self._resources.find_by_name(scope, name)
        if record is None:
            raise invalid(f"credentialName: there is no credential {name}; create it first")
        return record

    def check_guard(self, scope: Scope, document: dict[str, Any]) -> None:
        """Refuse (400) what callers could never show; a credential that is named by its id gets its name."""
        if id := document.pop("credentialId", None):
            named = self._resources.find(scope, id)
            if named is None:
                raise invalid(f"credentialId: there is no credential {id}; create it first")
            if document.setdefault("credentialName", named.name) != named.name:
                raise invalid(f"credentialId and credentialName name two credentials; {id} is {named.name}")
        record = self.require(scope, document.get("credentialName"))
        if record and record.document["credentialSourceType"] == INTERNAL:
            kind = record.document["credentialAuthType"]
            if kind not in KINDS:
                raise invalid(f"credentialName: no caller can show {record.name}, whose kind is {kind}")

    def _previous(self, record: Record, seconds: int) -> dict[str, Any]:
        document = record.document
        if document["credentialSourceType"] != INTERNAL or document["credentialAuthType"] not in ("api_key", "basic"):
            raise invalid(
                f"credentialPublicConfig.authConfig.{_GRACE} is for inbound API keys and users: tokens change over by "
                "the keys of their set, and what is shown to others is the new one at once"
            )
        users = section(document, "credentialPublicConfig").get("users")
        return {
            "secret": document.get("credentialSecret"),
            "users": users,
            "until": self._resources.clock.now() + seconds,
        }

    async def list(self, call: Call) -> dict[str, Any]:
        """One page, without contents."""
        query = call.query
        enabled = query.get("enabled")
        page = self._resources.page(
            call.scope,
            query,
            [
                *matches("name", query.get("credentialName")),
                *field_is("credentialAuthType", query.get("credentialAuthType")),
                *field_is("credentialSourceType", query.get("credentialSourceType")),
                *field_is("credentialPublicConfig.provider", query.get("provider")),
                *field_is("workspaceId", query.get("workspaceId")),
                *field_in("workspaceId", query.get("workspaceIds")),
                *([("json_extract(document, '$.enabled') = ?", (enabled.lower() == "true",))] if enabled else []),
            ],
        )
        for item in page["items"]:
            item.pop("credentialPublicConfig", None)
            item.pop("credentialSecret", None)
            item["relatedResourceCount"] = len(self._related(call, item["credentialName"]))
        return page

    def _shown(self, call: Call, record: Record) -> dict[str, Any]:
        shown = self._resources.shown(record)
        public: dict[str, Any] = {"users": [], **section(shown, "credentialPublicConfig")}
        return {
            **shown,
            "credentialPublicConfig": public,
            "relatedResources": self._related(call, record.name),
            "usage": self._usage.of(call.scope, record.id),  # An extension; the cloud has no such field.
        }

    def _related(self, call: Call, name: str) -> Sequence[dict[str, Any]]:
        return [
            {"resourceId": id, "resourceName": user, "resourceType": WORDS[kind]}
            for kind, id, user in self._resources.store.naming(call.scope, name)
            if kind in WORDS  # A published version is no user of its own.
        ]


def _parts(body: Mapping[str, Any]) -> Mapping[str, Any]:
    return section(section(body, "credentialPublicConfig"), "authConfig")


def _grace(body: Mapping[str, Any]) -> int | None:
    """For how many seconds what was shown until now goes on to count."""
    if body.get("credentialAuthType") == "custom_header":
        return None
    text = _parts(body).get(_GRACE)
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:9]) <= _LONGEST_GRACE:
        raise invalid(
            f"credentialPublicConfig.authConfig.{_GRACE} must be from 1 to {_LONGEST_GRACE} seconds, not {text}"
        )
    return int(text)


def _without_grace(body: Mapping[str, Any]) -> dict[str, Any]:
    if _GRACE not in _parts(body):
        return dict(body)
    public = dict(body["credentialPublicConfig"])
    parts = {name: value for name, value in public.pop("authConfig").items() if name != _GRACE}
    rest = {**public, **({"authConfig": parts} if parts else {})}
    changed = {name: value for name, value in body.items() if name != "credentialPublicConfig"}
    return {**changed, "credentialPublicConfig": rest} if rest else changed


def _keep_hosts(before: Mapping[str, Any], changes: dict[str, Any]) -> None:
    """Where a credential may be used stays what it was unless an update says it, as when only a key changes."""
    hosts = section(before, "credentialPublicConfig").get(ALLOWED_HOSTS)
    public = changes.get("credentialPublicConfig")
    if hosts and public is not None:
        changes["credentialPublicConfig"] = {ALLOWED_HOSTS: hosts, **public}


def _check_content(document: Mapping[str, Any]) -> None:
    """Refuse (400) a content that could never be used."""
    public = section(document, "credentialPublicConfig")
    if document["credentialAuthType"] != "jwt":
        return
    if public.get("authType") == OAUTH2:
        problem = Grant.of_parts("", _parts(document), document.get("credentialSecret") or "").problem()
        if problem:
            raise invalid(f"credentialPublicConfig.{problem}")
    if document["credentialSourceType"] == INTERNAL:
        _check_keys(public)


def _check_keys(public: Mapping[str, Any]) -> None:
    uri: str | None = section(public, "remoteConfig").get("uri")
    if uri:
        if urlsplit(uri).scheme not in ("http", "https") or not urlsplit(uri).hostname:
            raise invalid("credentialPublicConfig.remoteConfig.uri must be an http or https URL")
    elif public.get("jwks"):
        try:
            read_keys(public["jwks"])
        except KeySetError as error:
            raise invalid(f"credentialPublicConfig.jwks is no set of public keys: {error}") from error
