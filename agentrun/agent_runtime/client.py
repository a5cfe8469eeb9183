"""Agent runtimes for those who do not want to hold the object."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal, overload

from agentrun._core.api import API
from agentrun._core.blocking import run
from agentrun._core.model import build
from agentrun.agent_runtime.control import AgentRuntimeControlAPI
from agentrun.agent_runtime.data import DEFAULT_ENDPOINT, AgentRuntimeDataAPI
from agentrun.agent_runtime.endpoint import AgentRuntimeEndpoint
from agentrun.agent_runtime.model import (
    AgentRuntimeCreateInput,
    AgentRuntimeEndpointCreateInput,
    AgentRuntimeEndpointListInput,
    AgentRuntimeEndpointUpdateInput,
    AgentRuntimeListInput,
    AgentRuntimeUpdateInput,
    AgentRuntimeVersion,
    AgentRuntimeVersionListInput,
)
from agentrun.agent_runtime.runtime import AgentRuntime
from agentrun.config import Config

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletion, ChatCompletionChunk

    from agentrun._core.openai import Completion
    from agentrun._core.streams import Stream


class AgentRuntimeClient(API):
    """The operations on agent runtimes, with a Config given once."""

    async def create_async(
        self, input: AgentRuntimeCreateInput | None = None, config: Config | None = None, **fields: Any
    ) -> AgentRuntime:
        """Create an agent runtime; raises ResourceAlreadyExistError when the name is taken."""
        return await AgentRuntime.create_async(input, self._config(config), **fields)

    def create(
        self, input: AgentRuntimeCreateInput | None = None, config: Config | None = None, **fields: Any
    ) -> AgentRuntime:
        """Create an agent runtime; raises ResourceAlreadyExistError when the name is taken."""
        return run(self.create_async(input, config, **fields))

    async def delete_async(self, id: str, config: Config | None = None) -> AgentRuntime:
        """Delete an agent runtime and before it its endpoints; returns what it was."""
        return await AgentRuntime.delete_by_id_async(id, self._config(config))

    def delete(self, id: str, config: Config | None = None) -> AgentRuntime:
        """Delete an agent runtime and before it its endpoints; returns what it was."""
        return run(self.delete_async(id, config))

    async def update_async(
        self, id: str, input: AgentRuntimeUpdateInput | None = None, config: Config | None = None, **fields: Any
    ) -> AgentRuntime:
        """Change an agent runtime; what is not given stays."""
        return await AgentRuntime.update_by_id_async(id, input, self._config(config), **fields)

    def update(
        self, id: str, input: AgentRuntimeUpdateInput | None = None, config: Config | None = None, **fields: Any
    ) -> AgentRuntime:
        """Change an agent runtime; what is not given stays."""
        return run(self.update_async(id, input, config, **fields))

    async def get_async(self, id: str, config: Config | None = None) -> AgentRuntime:
        """Read an agent runtime."""
        return await AgentRuntime.get_by_id_async(id, self._config(config))

    def get(self, id: str, config: Config | None = None) -> AgentRuntime:
        """Read an agent runtime."""
        return run(self.get_async(id, config))

    async def list_async(
        self, input: AgentRuntimeListInput | None = None, config: Config | None = None, **fields: Any
    ) -> Sequence[AgentRuntime]:
        """One page of agent runtimes."""
        return await AgentRuntime.page_async(build(AgentRuntimeListInput, input, fields), self._config(config))

    def list(
        self, input: AgentRuntimeListInput | None = None, config: Config | None = None, **fields: Any
    ) -> Sequence[AgentRuntime]:
        """One page of agent runtimes."""
        return run(self.list_async(input, config, **fields))

    async def create_endpoint_async(
        self,
        agent_runtime_id: str,
        endpoint: AgentRuntimeEndpointCreateInput | None = None,
        config: Config | None = None,
        **fields: Any,
    ) -> AgentRuntimeEndpoint:
        """Create an endpoint; raises ResourceAlreadyExistError when the name is taken."""
        return await AgentRuntimeEndpoint.create_by_id_async(agent_runtime_id, endpoint, self._config(config), **fields)

    def create_endpoint(
        self,
        agent_runtime_id: str,
        endpoint: AgentRuntimeEndpointCreateInput | None = None,
        config: Config | None = None,
        **fields: Any,
    ) -> AgentRuntimeEndpoint:
        """Create an endpoint; raises ResourceAlreadyExistError when the name is taken."""
        return run(self.create_endpoint_async(agent_runtime_id, endpoint, config, **fields))

    async def delete_endpoint_async(
        self, agent_runtime_id: str, endpoint_id: str, config: Config | None = None
    ) -> AgentRuntimeEndpoint:
        """Delete an endpoint; returns what it was."""
        return await AgentRuntimeEndpoint.delete_by_id_async(agent_runtime_id, endpoint_id, self._config(config))

    def delete_endpoint(
        self, agent_runtime_id: str, endpoint_id: str, config: Config | None = None
    ) -> AgentRuntimeEndpoint:
        """Delete an endpoint; returns what it was."""
        return run(self.delete_endpoint_async(agent_runtime_id, endpoint_id, config))

    async def update_endpoint_async(
        self,
        agent_runtime_id: str,
        endpoint_id: str,
        endpoint: AgentRuntimeEndpointUpdateInput | None = None,
        config: Config | None = None,
        **fields: Any,
    ) -> AgentRuntimeEndpoint:
        """Change an endpoint; what is not given stays."""
        return await AgentRuntimeEndpoint.update_by_id_async(
            agent_runtime_id, endpoint_id, endpoint, self._config(config), **fields
        )

    def update_endpoint(
        self,
        agent_runtime_id: str,
        endpoint_id: str,
        endpoint: AgentRuntimeEndpointUpdateInput | None = None,
        config: Config | None = None,
        **fields: Any,
    ) -> AgentRuntimeEndpoint:
        """Change an endpoint; what is not given stays."""
        return run(self.update_endpoint_async(agent_runtime_id, endpoint_id, endpoint, config, **fields))

    async def get_endpoint_async(
        self, agent_runtime_id: str, endpoint_id: str, config: Config | None = None
    ) -> AgentRuntimeEndpoint:
        """Read an endpoint."""
        return await AgentRuntimeEndpoint.get_by_id_async(agent_runtime_id, endpoint_id, self._config(config))

    def get_endpoint(
        self, agent_runtime_id: str, endpoint_id: str, config: Config | None = None
    ) -> AgentRuntimeEndpoint:
        """Read an endpoint."""
        return run(self.get_endpoint_async(agent_runtime_id, endpoint_id, config))

    async def list_endpoints_async(
        self,
        agent_runtime_id: str,
        input: AgentRuntimeEndpointListInput | None = None,
        config: Config | None = None,
        **fields: Any,
    ) -> Sequence[AgentRuntimeEndpoint]:
        """One page of endpoints."""
        wanted = build(AgentRuntimeEndpointListInput, input, fields)
        return await AgentRuntimeEndpoint.page_by_id_async(agent_runtime_id, wanted, self._config(config))

    def list_endpoints(
        self,
        agent_runtime_id: str,
        input: AgentRuntimeEndpointListInput | None = None,
        config: Config | None = None,
        **fields: Any,
    ) -> Sequence[AgentRuntimeEndpoint]:
        """One page of endpoints."""
        return run(self.list_endpoints_async(agent_runtime_id, input, config, **fields))

    async def list_versions_async(
        self,
        agent_runtime_id: str,
        input: AgentRuntimeVersionListInput | None = None,
        config: Config | None = None,
        **fields: Any,
    ) -> Sequence[AgentRuntimeVersion]:
        """One page of versions."""
        wanted = build(AgentRuntimeVersionListInput, input, fields)
        api = AgentRuntimeControlAPI(self._config(config))
        page = await api.list_agent_runtime_versions_async(agent_runtime_id, wanted)
        return [AgentRuntimeVersion.from_wire(item) for item in page.get("items") or ()]

    def list_versions(
        self,
        agent_runtime_id: str,
        input: AgentRuntimeVersionListInput | None = None,
        config: Config | None = None,
        **fields: Any,
    ) -> Sequence[AgentRuntimeVersion]:
        """One page of versions."""
        return run(self.list_versions_async(agent_runtime_id, input, config, **fields))

    @overload
    async def invoke_openai_async(
        self,
        agent_runtime_name: str,
        agent_runtime_endpoint_name: str = DEFAULT_ENDPOINT,
        *,
        messages: Iterable[Any],
        stream: Literal[True],
        **kwargs: Any,
    ) -> Stream[ChatCompletionChunk]: ...

    @overload
    async def invoke_openai_async(
        self,
        agent_runtime_name: str,
        agent_runtime_endpoint_name: str = DEFAULT_ENDPOINT,
        *,
        messages: Iterable[Any],
        stream: Literal[False] = False,
        **kwargs: Any,
    ) -> ChatCompletion: ...

    @overload
    async def invoke_openai_async(
        self,
        agent_runtime_name: str,
        agent_runtime_endpoint_name: str = DEFAULT_ENDPOINT,
        *,
        messages: Iterable[Any],
        stream: bool,
        **kwargs: Any,
    ) -> Completion: ...

    async def invoke_openai_async(
        self, agent_runtime_name: str, agent_runtime_endpoint_name: str = DEFAULT_ENDPOINT, **kwargs: Any
    ) -> Completion:
        """Talk to an agent in the OpenAI chat protocol: a completion, or a stream of chunks with `stream=True`."""
        config = self._config(kwargs.pop("config", None))
        api = AgentRuntimeDataAPI(agent_runtime_name, agent_runtime_endpoint_name, config)
        return await api.invoke_openai_async(**kwargs)

    @overload
    def invoke_openai(
        self,
        agent_runtime_name: str,
        agent_runtime_endpoint_name: str = DEFAULT_ENDPOINT,
        *,
        messages: Iterable[Any],
        stream: Literal[True],
        **kwargs: Any,
    ) -> Stream[ChatCompletionChunk]: ...

    @overload
    def invoke_openai(
        self,
        agent_runtime_name: str,
        agent_runtime_endpoint_name: str = DEFAULT_ENDPOINT,
        *,
        messages: Iterable[Any],
        stream: Literal[False] = False,
        **kwargs: Any,
    ) -> ChatCompletion: ...

    @overload
    def invoke_openai(
        self,
        agent_runtime_name: str,
        agent_runtime_endpoint_name: str = DEFAULT_ENDPOINT,
        *,
        messages: Iterable[Any],
        stream: bool,
        **kwargs: Any,
    ) -> Completion: ...

    def invoke_openai(
        self, agent_runtime_name: str, agent_runtime_endpoint_name: str = DEFAULT_ENDPOINT, **kwargs: Any
    ) -> Completion:
        """Talk to an agent in the OpenAI chat protocol: a completion, or a stream of chunks with `stream=True`."""
        config = self._config(kwargs.pop("config", None))
        api = AgentRuntimeDataAPI(agent_runtime_name, agent_runtime_endpoint_name, config)
        return api.invoke_openai(**kwargs)
