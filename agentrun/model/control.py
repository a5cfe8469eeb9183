"""The control operations on model services."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentrun._core.api import ControlAPI, Operation
from agentrun._core.blocking import run
from agentrun.config import Config
from agentrun.model.model import ModelServiceCreateInput, ModelServiceListInput, ModelServiceUpdateInput

_SERVICES = "/2025-09-10/agents/model-services"
_SERVICE = f"{_SERVICES}/{{model_service_name}}"
CREATE_SERVICE = Operation("CreateModelService", "POST", _SERVICES)
DELETE_SERVICE = Operation("DeleteModelService", "DELETE", _SERVICE)
UPDATE_SERVICE = Operation("UpdateModelService", "PUT", _SERVICE)
GET_SERVICE = Operation("GetModelService", "GET", _SERVICE)
LIST_SERVICES = Operation("ListModelServices", "GET", _SERVICES)


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
