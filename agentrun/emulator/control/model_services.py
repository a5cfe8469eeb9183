"""Model services: where a model is reached, and with which key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from agentrun.emulator.control.call import Call, Handler
from agentrun.emulator.control.credentials import Credentials
from agentrun.emulator.control.model_proxies import uses_service
from agentrun.emulator.resources import Kind, Resources
from agentrun.emulator.store import Record, field_in, field_is
from agentrun.emulator.wire.envelope import conflict

KIND = Kind(
    "ModelService",
    "model service",
    "ModelService",
    "modelServiceId",
    "modelServiceName",
    "ms",
    secrets=("providerSettings.apiKey",),
    by_name=True,
)


class ModelServices:
    """The operations on model services."""

    def __init__(self, resources: Resources, credentials: Credentials, proxies: Resources) -> None:
        self._resources = resources
        self._credentials = credentials
        self._proxies = proxies
        self.public_url = ""

    def handlers(self) -> Mapping[str, Handler]:
        """The operations by their actions."""
        return {
            "CreateModelService": self.create,
            "GetModelService": self.get,
            "UpdateModelService": self.update,
            "DeleteModelService": self.delete,
            "ListModelServices": self.list,
        }

    async def create(self, call: Call) -> dict[str, Any]:
        """Add a model service."""
        self._credentials.require(call.scope, call.body.get("credentialName"))
        body = call.body
        return self._answered(self._resources.create(call.tenant, body["modelServiceName"], body))

    async def get(self, call: Call) -> dict[str, Any]:
        """The whole model service, with its key."""
        return self._answered(self._resources.get(call.scope, call.label))

    async def update(self, call: Call) -> dict[str, Any]:
        """Change what is given; provider settings are changed field by field."""
        self._credentials.require(call.scope, call.body.get("credentialName"))
        record = self._resources.get(call.scope, call.label)
        changes = dict(call.body)
        if "providerSettings" in changes:
            changes["providerSettings"] = {**record.document.get("providerSettings", {}), **changes["providerSettings"]}
        return self._answered(self._resources.update(record, changes))

    async def delete(self, call: Call) -> dict[str, Any]:
        """Remove a model service, unless a model proxy would be left without it."""
        record = self._resources.get(call.scope, call.label)
        users = self._proxies.page(call.scope, {"pageSize": "1"}, uses_service(record.name))["items"]
        if users:
            raise conflict(
                f"model proxy {users[0]['modelProxyName']} uses model service {record.name}; change it first"
            )
        return self._answered(self._resources.delete(record))

    async def list(self, call: Call) -> dict[str, Any]:
        """One page, with keys masked."""
        query = call.query
        filters = [
            *field_is("modelType", query.get("modelType")),
            *field_is("provider", query.get("provider")),
            *field_is("workspaceId", query.get("workspaceId")),
            *field_in("workspaceId", query.get("workspaceIds")),
        ]
        page = self._resources.page(call.scope, query, filters)
        return {**page, "items": [self._with_address(item) for item in page["items"]]}

    def _answered(self, record: Record) -> dict[str, Any]:
        return self._with_address(self._resources.shown(record))

    def _with_address(self, shown: dict[str, Any]) -> dict[str, Any]:
        """What is shown, with where the platform itself asks the service's models; the cloud has no such field."""
        name = quote(shown["modelServiceName"], safe="")
        return {**shown, "endpoint": f"{self.public_url}/model-services/{name}"}
