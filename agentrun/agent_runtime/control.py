"""The control operations on agent runtimes, their endpoints and their versions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentrun._core.api import ControlAPI, Operation
from agentrun._core.blocking import run
from agentrun.agent_runtime.model import (
    AgentRuntimeCreateInput,
    AgentRuntimeEndpointCreateInput,
    AgentRuntimeEndpointListInput,
    AgentRuntimeEndpointUpdateInput,
    AgentRuntimeGetInput,
    AgentRuntimeListInput,
    AgentRuntimeUpdateInput,
    AgentRuntimeVersionCreateInput,
    AgentRuntimeVersionListInput,
)
from agentrun.config import Config

_RUNTIMES = "/2025-09-10/agents/runtimes"
_RUNTIME = f"{_RUNTIMES}/{{agent_runtime_id}}"
_ENDPOINTS = f"{_RUNTIME}/endpoints"
_ENDPOINT = f"{_ENDPOINTS}/{{agent_runtime_endpoint_id}}"
_VERSIONS = f"{_RUNTIME}/versions"
CREATE = Operation("CreateAgentRuntime", "POST", _RUNTIMES)
DELETE = Operation("DeleteAgentRuntime", "DELETE", _RUNTIME)
UPDATE = Operation("UpdateAgentRuntime", "PUT", _RUNTIME)
GET = Operation("GetAgentRuntime", "GET", _RUNTIME)
LIST = Operation("ListAgentRuntimes", "GET", _RUNTIMES)
CREATE_ENDPOINT = Operation("CreateAgentRuntimeEndpoint", "POST", _ENDPOINTS)
DELETE_ENDPOINT = Operation("DeleteAgentRuntimeEndpoint", "DELETE", _ENDPOINT)
UPDATE_ENDPOINT = Operation("UpdateAgentRuntimeEndpoint", "PUT", _ENDPOINT)
GET_ENDPOINT = Operation("GetAgentRuntimeEndpoint", "GET", _ENDPOINT)
LIST_ENDPOINTS = Operation("ListAgentRuntimeEndpoints", "GET", _ENDPOINTS)
LIST_VERSIONS = Operation("ListAgentRuntimeVersions", "GET", _VERSIONS)
PUBLISH_VERSION = Operation("PublishRuntimeVersion", "POST", _VERSIONS)
LIST_WORKSPACES = Operation("ListWorkspaces", "GET", "/2025-09-10/workspaces")
_ENDPOINT_KIND = "AgentRuntimeEndpoint"


class AgentRuntimeControlAPI(ControlAPI):
    """One method per operation; each answers the envelope's data in the wire's names."""

    kind = "AgentRuntime"

    async def create_agent_runtime_async(
        self, input: AgentRuntimeCreateInput, headers: Mapping[str, str] | None = None, config: Config | None = None
    ) -> dict[str, Any]:
        """Create an agent runtime."""
        return await self._call(CREATE, body=input, headers=headers, config=config, label=input.agent_runtime_name)

    def create_agent_runtime(
        self, input: AgentRuntimeCreateInput, headers: Mapping[str, str] | None = None, config: Config | None = None
    ) -> dict[str, Any]:
        """Create an agent runtime."""
        return run(self.create_agent_runtime_async(input, headers, config))

    async def delete_agent_runtime_async(
        self, agent_id: str, headers: Mapping[str, str] | None = None, config: Config | None = None
    ) -> dict[str, Any]:
        """Delete an agent runtime; answers what it was."""
        return await self._call(DELETE, agent_id, headers=headers, config=config)

    def delete_agent_runtime(
        self, agent_id: str, headers: Mapping[str, str] | None = None, config: Config | None = None
    ) -> dict[str, Any]:
        """Delete an agent runtime; answers what it was."""
        return run(self.delete_agent_runtime_async(agent_id, headers, config))

    async def update_agent_runtime_async(
        self,
        agent_id: str,
        input: AgentRuntimeUpdateInput,
        headers: Mapping[str, str] | None = None,
        config: Config | None = None,
    ) -> dict[str, Any]:
        """Change an agent runtime; the service insists on `cpu`."""
        return await self._call(UPDATE, agent_id, body=input, headers=headers, config=config)

    def update_agent_runtime(
        self,
        agent_id: str,
        input: AgentRuntimeUpdateInput,
        headers: Mapping[str, str] | None = None,
        config: Config | None = None,
    ) -> dict[str, Any]:
        """Change an agent runtime; the service insists on `cpu`."""
        return run(self.update_agent_runtime_async(agent_id, input, headers, config))

    async def get_agent_runtime_async(
        self,
        agent_id: str,
        input: AgentRuntimeGetInput | None = None,
        headers: Mapping[str, str] | None = None,
        config: Config | None = None,
    ) -> dict[str, Any]:
        """Read an agent runtime."""
        return await self._call(GET, agent_id, query=input, headers=headers, config=config)

    def get_agent_runtime(
        self,
        agent_id: str,
        input: AgentRuntimeGetInput | None = None,
        headers: Mapping[str, str] | None = None,
        config: Config | None = None,
    ) -> dict[str, Any]:
        """Read an agent runtime."""
        return run(self.get_agent_runtime_async(agent_id, input, headers, config))

    async def list_agent_runtimes_async(
        self, input: AgentRuntimeListInput, headers: Mapping[str, str] | None = None, config: Config | None = None
    ) -> dict[str, Any]:
        """One page of agent runtimes."""
        return await self._call(LIST, query=input, headers=headers, config=config)

    def list_agent_runtimes(
        self, input: AgentRuntimeListInput, headers: Mapping[str, str] | None = None, config: Config | None = None
    ) -> dict[str, Any]:
        """One page of agent runtimes."""
        return run(self.list_agent_runtimes_async(input, headers, config))

    async def create_agent_runtime_endpoint_async(
        self,
        agent_id: str,
        input: AgentRuntimeEndpointCreateInput,
        headers: Mapping[str, str] | None = None,
        config: Config | None = None,
    ) -> dict[str, Any]:
        """Create an endpoint."""
        label = input.agent_runtime_endpoint_name
        return await self._call(
            CREATE_ENDPOINT, agent_id, body=input, headers=headers, config=config, label=label, kind=_ENDPOINT_KIND
        )

    def create_agent_runtime_endpoint(
        self,
        agent_id: str,
        input: AgentRuntimeEndpointCreateInput,
        headers: Mapping[str, str] | None = None,
        config: Config | None = None,
    ) -> dict[str, Any]:
        """Create an endpoint."""
        return run(self.create_agent_runtime_endpoint_async(agent_id, input, headers, config))

    async def delete_agent_runtime_endpoint_async(
        self,
        agent_id: str,
        endpoint_id: str,
        headers: Mapping[str, str] | None = None,
        config: Config | None = None,
    ) -> dict[str, Any]:
        """Delete an endpoint; answers what it was."""
        return await self._call(
            DELETE_ENDPOINT, agent_id, endpoint_id, headers=headers, config=config, kind=_ENDPOINT_KIND
        )

    def delete_agent_runtime_endpoint(
        self,
        agent_id: str,
        endpoint_id: str,
        headers: Mapping[str, str] | None = None,
        config: Config | None = None,
    ) -> dict[str, Any]:
        """Delete an endpoint; answers what it was."""
        return run(self.delete_agent_runtime_endpoint_async(agent_id, endpoint_id, headers, config))

    async def update_agent_runtime_endpoint_async(
        self,
        agent_id: str,
        endpoint_id: str,
        input: AgentRuntimeEndpointUpdateInput,
        headers: Mapping[str, str] | None = None,
        config: Config | None = None,
    ) -> dict[str, Any]:
        """Change an endpoint."""
        return await self._call(
            UPDATE_ENDPOINT, agent_id, endpoint_id, body=input, headers=headers, config=config, kind=_ENDPOINT_KIND
        )

    def update_agent_runtime_endpoint(
        self,
        agent_id: str,
        endpoint_id: str,
        input: AgentRuntimeEndpointUpdateInput,
        headers: Mapping[str, str] | None = None,
        config: Config | None = None,
    ) -> dict[str, Any]:
        """Change an endpoint."""
        return run(self.update_agent_runtime_endpoint_async(agent_id, endpoint_id, input, headers, config))

    async def get_agent_runtime_endpoint_async(
        self,
        agent_id: str,
        endpoint_id: str,
        headers: Mapping[str, str] | None = None,
        config: Config | None = None,
    ) -> dict[str, Any]:
        """Read an endpoint."""
        return await self._call(
            GET_ENDPOINT, agent_id, endpoint_id, headers=headers, config=config, kind=_ENDPOINT_KIND
        )

    def get_agent_runtime_endpoint(
        self,
        agent_id: str,
        endpoint_id: str,
        headers: Mapping[str, str] | None = None,
        config: Config | None = None,
    ) -> dict[str, Any]:
        """Read an endpoint."""
        return run(self.get_agent_runtime_endpoint_async(agent_id, endpoint_id, headers, config))

    async def list_agent_runtime_endpoints_async(
        self,
        agent_id: str,
        input: AgentRuntimeEndpointListInput,
        headers: Mapping[str, str] | None = None,
        config: Config | None = None,
    ) -> dict[str, Any]:
        """One page of endpoints."""
        return await self._call(LIST_ENDPOINTS, agent_id, query=input, headers=headers, config=config)

    def list_agent_runtime_endpoints(
        self,
        agent_id: str,
        input: AgentRuntimeEndpointListInput,
        headers: Mapping[str, str] | None = None,
        config: Config | None = None,
    ) -> dict[str, Any]:
        """One page of endpoints."""
        return run(self.list_agent_runtime_endpoints_async(agent_id, input, headers, config))

    async def list_agent_runtime_versions_async(
        self,
        agent_id: str,
        input: AgentRuntimeVersionListInput,
        headers: Mapping[str, str] | None = None,
        config: Config | None = None,
    ) -> dict[str, Any]:
        """One page of versions."""
        return await self._call(LIST_VERSIONS, agent_id, query=input, headers=headers, config=config)

    def list_agent_runtime_versions(
        self,
        agent_id: str,
        input: AgentRuntimeVersionListInput,
        headers: Mapping[str, str] | None = None,
        config: Config | None = None,
    ) -> dict[str, Any]:
        """One page of versions."""
        return run(self.list_agent_runtime_versions_async(agent_id, input, headers, config))

    async def publish_runtime_version_async(
        self,
        agent_id: str,
        input: AgentRuntimeVersionCreateInput,
        headers: Mapping[str, str] | None = None,
        config: Config | None = None,
    ) -> dict[str, Any]:
        """Publish the present state as a version."""
        return await self._call(PUBLISH_VERSION, agent_id, body=input, headers=headers, config=config)

    def publish_runtime_version(
        self,
        agent_id: str,
        input: AgentRuntimeVersionCreateInput,
        headers: Mapping[str, str] | None = None,
        config: Config | None = None,
    ) -> dict[str, Any]:
        """Publish the present state as a version."""
        return run(self.publish_runtime_version_async(agent_id, input, headers, config))

    async def list_workspaces_async(
        self, input: Mapping[str, Any], headers: Mapping[str, str] | None = None, config: Config | None = None
    ) -> dict[str, Any]:
        """One page of workspaces, under `workspaces`."""
        return await self._call(LIST_WORKSPACES, query=input, headers=headers, config=config, kind="Workspace")

    def list_workspaces(
        self, input: Mapping[str, Any], headers: Mapping[str, str] | None = None, config: Config | None = None
    ) -> dict[str, Any]:
        """One page of workspaces, under `workspaces`."""
        return run(self.list_workspaces_async(input, headers, config))
