"""The control operations on model services, model proxies and the providers of models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentrun._core.api import ControlAPI, Operation
from agentrun._core.blocking import run
from agentrun.config import Config
from agentrun.model.extensions import require_local
from agentrun.model.model import (
    ModelProviderListInput,
    ModelProxyCreateInput,
    ModelProxyListInput,
    ModelProxyUpdateInput,
    ModelServiceCreateInput,
    ModelServiceListInput,
    ModelServiceUpdateInput,
)

_SERVICES = "/2025-09-10/agents/model-services"
_SERVICE = f"{_SERVICES}/{{model_service_name}}"
CREATE_SERVICE = Operation("CreateModelService", "POST", _SERVICES)
DELETE_SERVICE = Operation("DeleteModelService", "DELETE", _SERVICE)
UPDATE_SERVICE = Operation("UpdateModelService", "PUT", _SERVICE)
GET_SERVICE = Operation("GetModelService", "GET", _SERVICE)
LIST_SERVICES = Operation("ListModelServices", "GET", _SERVICES)

_PROXIES = "/2025-09-10/agents/model-proxies"
_PROXY = f"{_PROXIES}/{{model_proxy_name}}"
CREATE_PROXY = Operation("CreateModelProxy", "POST", _PROXIES)
DELETE_PROXY = Operation("DeleteModelProxy", "DELETE", _PROXY)
UPDATE_PROXY = Operation("UpdateModelProxy", "PUT", _PROXY)
GET_PROXY = Operation("GetModelProxy", "GET", _PROXY)
LIST_PROXIES = Operation("ListModelProxies", "GET", _PROXIES)
LIST_PROVIDERS = Operation("ListModelProviders", "GET", "/2025-09-10/agents/model-providers")
_PROXY_KIND = "ModelProxy"


class ModelControlAPI(ControlAPI):
    """One method per operation; each answers the envelope's data in the wire's names."""

    kind = "ModelService"

    async def create_model_service_async(
        self, input: ModelServiceCreateInput, headers: Mapping[str, str] | None = None, config: Config | None = None
    ) -> dict[str, Any]:
        """Create a model service."""
        label = input.model_service_name
        return await self._call(CREATE_SERVICE, body=input, headers=headers, config=config, label=label)

    def create_model_service(
        self, input: ModelServiceCreateInput, headers: Mapping[str, str] | None = None, config: Config | None = None
    ) -> dict[str, Any]:
        """Create a model service."""
        return run(self.create_model_service_async(input, headers, config))

    async def delete_model_service_async(
        self, model_service_name: str, headers: Mapping[str, str] | None = None, config: Config | None = None
    ) -> dict[str, Any]:
        """Delete a model service; answers what it was."""
        return await self._call(DELETE_SERVICE, model_service_name, headers=headers, config=config)

    def delete_model_service(
        self, model_service_name: str, headers: Mapping[str, str] | None = None, config: Config | None = None
    ) -> dict[str, Any]:
        """Delete a model service; answers what it was."""
        return run(self.delete_model_service_async(model_service_name, headers, config))

    async def update_model_service_async(
        self,
        model_service_name: str,
        input: ModelServiceUpdateInput,
        headers: Mapping[str, str] | None = None,
        config: Config | None = None,
    ) -> dict[str, Any]:
        """Change a model service."""
        return await self._call(UPDATE_SERVICE, model_service_name, body=input, headers=headers, config=config)

    def update_model_service(
        self,
        model_service_name: str,
        input: ModelServiceUpdateInput,
        headers: Mapping[str, str] | None = None,
        config: Config | None = None,
    ) -> dict[str, Any]:
        """Change a model service."""
        return run(self.update_model_service_async(model_service_name, input, headers, config))

    async def get_model_service_async(
        self, model_service_name: str, headers: Mapping[str, str] | None = None, config: Config | None = None
    ) -> dict[str, Any]:
        """Read a model service."""
        return await self._call(GET_SERVICE, model_service_name, headers=headers, config=config)

    def get_model_service(
        self, model_service_name: str, headers: Mapping[str, str] | None = None, config: Config | None = None
    ) -> dict[str, Any]:
        """Read a model service."""
        return run(self.get_model_service_async(model_service_name, headers, config))

    async def list_model_services_async(
        self, input: ModelServiceListInput, headers: Mapping[str, str] | None = None, config: Config | None = None
    ) -> dict[str, Any]:
        """One page of model services."""
        return await self._call(LIST_SERVICES, query=input, headers=headers, config=config)

    def list_model_services(
        self, input: ModelServiceListInput, headers: Mapping[str, str] | None = None, config: Config | None = None
    ) -> dict[str, Any]:
        """One page of model services."""
        return run(self.list_model_services_async(input, headers, config))

    async def create_model_proxy_async(
        self, input: ModelProxyCreateInput, headers: Mapping[str, str] | None = None, config: Config | None = None
    ) -> dict[str, Any]:
        """Create a model proxy; raises UnsupportedError for what only the local platform has."""
        require_local(input.proxy_config, self._config(config))
        label = input.model_proxy_name
        return await self._call(CREATE_PROXY, body=input, headers=headers, config=config, label=label, kind=_PROXY_KIND)

    def create_model_proxy(
        self, input: ModelProxyCreateInput, headers: Mapping[str, str] | None = None, config: Config | None = None
    ) -> dict[str, Any]:
        """Create a model proxy; raises UnsupportedError for what only the local platform has."""
        return run(self.create_model_proxy_async(input, headers, config))

    async def delete_model_proxy_async(
        self, model_proxy_name: str, headers: Mapping[str, str] | None = None, config: Config | None = None
    ) -> dict[str, Any]:
        """Delete a model proxy; answers what it was."""
        return await self._call(DELETE_PROXY, model_proxy_name, headers=headers, config=config, kind=_PROXY_KIND)

    def delete_model_proxy(
        self, model_proxy_name: str, headers: Mapping[str, str] | None = None, config: Config | None = None
    ) -> dict[str, Any]:
        """Delete a model proxy; answers what it was."""
        return run(self.delete_model_proxy_async(model_proxy_name, headers, config))

    async def update_model_proxy_async(
        self,
        model_proxy_name: str,
        input: ModelProxyUpdateInput,
        headers: Mapping[str, str] | None = None,
        config: Config | None = None,
    ) -> dict[str, Any]:
        """Change a model proxy; raises UnsupportedError for what only the local platform has."""
        require_local(input.proxy_config, self._config(config))
        return await self._call(
            UPDATE_PROXY, model_proxy_name, body=input, headers=headers, config=config, kind=_PROXY_KIND
        )

    def update_model_proxy(
        self,
        model_proxy_name: str,
        input: ModelProxyUpdateInput,
        headers: Mapping[str, str] | None = None,
        config: Config | None = None,
    ) -> dict[str, Any]:
        """Change a model proxy; raises UnsupportedError for what only the local platform has."""
        return run(self.update_model_proxy_async(model_proxy_name, input, headers, config))

    async def get_model_proxy_async(
        self, model_proxy_name: str, headers: Mapping[str, str] | None = None, config: Config | None = None
    ) -> dict[str, Any]:
        """Read a model proxy."""
        return await self._call(GET_PROXY, model_proxy_name, headers=headers, config=config, kind=_PROXY_KIND)

    def get_model_proxy(
        self, model_proxy_name: str, headers: Mapping[str, str] | None = None, config: Config | None = None
    ) -> dict[str, Any]:
        """Read a model proxy."""
        return run(self.get_model_proxy_async(model_proxy_name, headers, config))

    async def list_model_proxies_async(
        self, input: ModelProxyListInput, headers: Mapping[str, str] | None = None, config: Config | None = None
    ) -> dict[str, Any]:
        """One page of model proxies."""
        return await self._call(LIST_PROXIES, query=input, headers=headers, config=config)

    def list_model_proxies(
        self, input: ModelProxyListInput, headers: Mapping[str, str] | None = None, config: Config | None = None
    ) -> dict[str, Any]:
        """One page of model proxies."""
        return run(self.list_model_proxies_async(input, headers, config))

    async def list_model_providers_async(
        self, input: ModelProviderListInput, headers: Mapping[str, str] | None = None, config: Config | None = None
    ) -> dict[str, Any]:
        """One page of the providers of models, with an item for each type of models that they offer."""
        return await self._call(LIST_PROVIDERS, query=input, headers=headers, config=config)

    def list_model_providers(
        self, input: ModelProviderListInput, headers: Mapping[str, str] | None = None, config: Config | None = None
    ) -> dict[str, Any]:
        """One page of the providers of models, with an item for each type of models that they offer."""
        return run(self.list_model_providers_async(input, headers, config))
