"""Credentials: kept encrypted, shown whole to a get, masked to a list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agentrun._serving.values import section
from agentrun.emulator.control.call import Call, Handler
from agentrun.emulator.resources import Kind, Resources
from agentrun.emulator.store import Record, field_in, field_is, matches
from agentrun.emulator.wire.envelope import invalid

KIND = Kind(
    "Credential",
    "credential",
    "Credential",
    "credentialId",
    "credentialName",
    "cred",
    updated_field="updatedAt",
    secrets=("credentialSecret", "credentialPublicConfig.users", "credentialPublicConfig.authConfig"),
    by_name=True,
)
# The contract has no enums; these are the values that its documents name.
AUTH_TYPES = ("jwt", "api_key", "basic", "ak_sk", "custom_header")
SOURCE_TYPES = ("external_llm", "external_tool", "internal")
# Which kinds of resources may name a credential, and what the service calls them there.
_USERS = {
    "AgentRuntime": "runtime",
    "KnowledgeBase": "knowledgebase",
    "ModelProxy": "model_proxy",
    "ModelService": "model_service",
    "Template": "template",
    "Tool": "tool",
}


def _require_member(field: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise invalid(f"{field} must be one of {', '.join(allowed)}, not {value}")


class Credentials:
    """The operations on credentials."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources

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
        record = self._resources.create(call.tenant, body["credentialName"], {"enabled": True, **body})
        return self._shown(call, record)

    async def get(self, call: Call) -> dict[str, Any]:
        """The whole credential, with its secret."""
        return self._shown(call, self._resources.get(call.scope, call.label))

    async def update(self, call: Call) -> dict[str, Any]:
        """Change what is given."""
        record = self._resources.get(call.scope, call.label)
        return self._shown(call, self._resources.update(record, call.body))

    async def delete(self, call: Call) -> dict[str, Any]:
        """Remove a credential."""
        return self._shown(call, self._resources.delete(self._resources.get(call.scope, call.label)))

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
        return {**shown, "credentialPublicConfig": public, "relatedResources": self._related(call, record.name)}

    def _related(self, call: Call, name: str) -> Sequence[dict[str, Any]]:
        return [
            {"resourceId": id, "resourceName": user, "resourceType": _USERS[kind]}
            for kind, id, user in self._resources.store.naming(call.scope, name)
            if kind in _USERS
        ]
