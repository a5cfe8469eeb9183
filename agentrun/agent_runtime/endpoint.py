"""An endpoint: the address of an agent runtime, and which of its versions answer there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal, overload

from pydantic import PrivateAttr

from agentrun._core.blocking import run
from agentrun._core.model import build
from agentrun._core.paging import AsyncLazyList, LazyList, numbered
from agentrun._core.resource import Resource
from agentrun.agent_runtime.control import AgentRuntimeControlAPI
from agentrun.agent_runtime.data import DEFAULT_ENDPOINT, AgentRuntimeDataAPI
from agentrun.agent_runtime.model import (
    AgentRuntimeEndpointCreateInput,
    AgentRuntimeEndpointImmutableProps,
    AgentRuntimeEndpointListInput,
    AgentRuntimeEndpointMutableProps,
    AgentRuntimeEndpointSystemProps,
    AgentRuntimeEndpointUpdateInput,
)
from agentrun.config import Config

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletion, ChatCompletionChunk

    from agentrun._core.openai import Completion
    from agentrun._core.streams import Stream


class AgentRuntimeEndpoint(
    AgentRuntimeEndpointMutableProps, AgentRuntimeEndpointImmutableProps, AgentRuntimeEndpointSystemProps, Resource
):
    """An endpoint of an agent runtime."""

    kind = "AgentRuntimeEndpoint"
    _agent_runtime_name: str | None = PrivateAttr(default=None)

    @property
    def label(self) -> str:
        """The endpoint's id."""
        return self.agent_runtime_endpoint_id or ""

    @property
    def title(self) -> str:
        """The endpoint's name."""
        return self.agent_runtime_endpoint_name or self.label

    @classmethod
    def _of(cls, data: dict[str, Any], agent_runtime_id: str, config: Config | None) -> AgentRuntimeEndpoint:
        # Not every answer repeats whose endpoint it is.
        return cls.of({"agentRuntimeId": agent_runtime_id, **data}, config)

    @classmethod
    async def create_by_id_async(
        cls,
        agent_runtime_id: str,
        input: AgentRuntimeEndpointCreateInput | None = None,
        config: Config | None = None,
        **fields: Any,
    ) -> AgentRuntimeEndpoint:
        """Create an endpoint from an input object or from its fields as keywords.

        Raises ResourceAlreadyExistError when the name is taken.
        """
        wanted = build(AgentRuntimeEndpointCreateInput, input, fields)
        answer = await AgentRuntimeControlAPI(config).create_agent_runtime_endpoint_async(agent_runtime_id, wanted)
        return cls._of(answer, agent_runtime_id, config)

    @classmethod
    def create_by_id(
        cls,
        agent_runtime_id: str,
        input: AgentRuntimeEndpointCreateInput | None = None,
        config: Config | None = None,
        **fields: Any,
    ) -> AgentRuntimeEndpoint:
        """Create an endpoint from an input object or from its fields as keywords.

        Raises ResourceAlreadyExistError when the name is taken.
        """
        return run(cls.create_by_id_async(agent_runtime_id, input, config, **fields))

    @classmethod
    async def delete_by_id_async(
        cls, agent_runtime_id: str, endpoint_id: str, config: Config | None = None
    ) -> AgentRuntimeEndpoint:
        """Delete an endpoint; returns what it was. Raises ResourceNotExistError."""
        answer = await AgentRuntimeControlAPI(config).delete_agent_runtime_endpoint_async(agent_runtime_id, endpoint_id)
        return cls._of(answer, agent_runtime_id, config)

    @classmethod
    def delete_by_id(
        cls, agent_runtime_id: str, endpoint_id: str, config: Config | None = None
    ) -> AgentRuntimeEndpoint:
        """Delete an endpoint; returns what it was. Raises ResourceNotExistError."""
        return run(cls.delete_by_id_async(agent_runtime_id, endpoint_id, config))

    @classmethod
    async def update_by_id_async(
        cls,
        agent_runtime_id: str,
        endpoint_id: str,
        input: AgentRuntimeEndpointUpdateInput | None = None,
        config: Config | None = None,
        **fields: Any,
    ) -> AgentRuntimeEndpoint:
        """Change an endpoint; what is not given stays. Raises ResourceNotExistError."""
        wanted = build(AgentRuntimeEndpointUpdateInput, input, fields)
        api = AgentRuntimeControlAPI(config)
        answer = await api.update_agent_runtime_endpoint_async(agent_runtime_id, endpoint_id, wanted)
        return cls._of(answer, agent_runtime_id, config)

    @classmethod
    def update_by_id(
        cls,
        agent_runtime_id: str,
        endpoint_id: str,
        input: AgentRuntimeEndpointUpdateInput | None = None,
        config: Config | None = None,
        **fields: Any,
    ) -> AgentRuntimeEndpoint:
        """Change an endpoint; what is not given stays. Raises ResourceNotExistError."""
        return run(cls.update_by_id_async(agent_runtime_id, endpoint_id, input, config, **fields))

    @classmethod
    async def get_by_id_async(
        cls, agent_runtime_id: str, endpoint_id: str, config: Config | None = None
    ) -> AgentRuntimeEndpoint:
        """Read an endpoint; raises ResourceNotExistError."""
        answer = await AgentRuntimeControlAPI(config).get_agent_runtime_endpoint_async(agent_runtime_id, endpoint_id)
        return cls._of(answer, agent_runtime_id, config)

    @classmethod
    def get_by_id(cls, agent_runtime_id: str, endpoint_id: str, config: Config | None = None) -> AgentRuntimeEndpoint:
        """Read an endpoint; raises ResourceNotExistError."""
        return run(cls.get_by_id_async(agent_runtime_id, endpoint_id, config))

    @classmethod
    def list_by_id_async(
        cls, agent_runtime_id: str, config: Config | None = None
    ) -> AsyncLazyList[AgentRuntimeEndpoint]:
        """All endpoints of an agent runtime; pages are read as they are looked at."""
        return AsyncLazyList(cls._pages(agent_runtime_id, config))

    @classmethod
    def list_by_id(cls, agent_runtime_id: str, config: Config | None = None) -> LazyList[AgentRuntimeEndpoint]:
        """All endpoints of an agent runtime; pages are read as they are looked at."""
        return LazyList(cls._pages(agent_runtime_id, config))

    @classmethod
    def _pages(cls, agent_runtime_id: str, config: Config | None) -> AsyncIterator[AgentRuntimeEndpoint]:
        async def page(number: int, size: int) -> Sequence[AgentRuntimeEndpoint]:
            asked = AgentRuntimeEndpointListInput(page_number=number, page_size=size)
            return await cls.page_by_id_async(agent_runtime_id, asked, config)

        return numbered(page, lambda endpoint: endpoint.agent_runtime_endpoint_id)

    @classmethod
    async def page_by_id_async(
        cls, agent_runtime_id: str, asked: AgentRuntimeEndpointListInput, config: Config | None = None
    ) -> Sequence[AgentRuntimeEndpoint]:
        """One page of the endpoints of an agent runtime."""
        answer = await AgentRuntimeControlAPI(config).list_agent_runtime_endpoints_async(agent_runtime_id, asked)
        return [cls._of(item, agent_runtime_id, config) for item in answer.get("items") or ()]

    @classmethod
    def page_by_id(
        cls, agent_runtime_id: str, asked: AgentRuntimeEndpointListInput, config: Config | None = None
    ) -> Sequence[AgentRuntimeEndpoint]:
        """One page of the endpoints of an agent runtime."""
        return run(cls.page_by_id_async(agent_runtime_id, asked, config))

    async def update_async(
        self, input: AgentRuntimeEndpointUpdateInput | None = None, config: Config | None = None, **fields: Any
    ) -> AgentRuntimeEndpoint:
        """Change this endpoint; what is not given stays."""
        ids = (self.agent_runtime_id or "", self.label)
        return self.update_self(await self.update_by_id_async(*ids, input, self._settings(config), **fields))

    def update(
        self, input: AgentRuntimeEndpointUpdateInput | None = None, config: Config | None = None, **fields: Any
    ) -> AgentRuntimeEndpoint:
        """Change this endpoint; what is not given stays."""
        return run(self.update_async(input, config, **fields))

    async def get_async(self, config: Config | None = None) -> AgentRuntimeEndpoint:
        """Read this endpoint again."""
        ids = (self.agent_runtime_id or "", self.label)
        return self.update_self(await self.get_by_id_async(*ids, self._settings(config)))

    def get(self, config: Config | None = None) -> AgentRuntimeEndpoint:
        """Read this endpoint again."""
        return run(self.get_async(config))

    async def delete_async(self, config: Config | None = None) -> AgentRuntimeEndpoint:
        """Delete this endpoint."""
        ids = (self.agent_runtime_id or "", self.label)
        return self.update_self(await self.delete_by_id_async(*ids, self._settings(config)))

    def delete(self, config: Config | None = None) -> AgentRuntimeEndpoint:
        """Delete this endpoint."""
        return run(self.delete_async(config))

    @overload
    async def invoke_openai_async(
        self, *, messages: Iterable[Any], stream: Literal[True], **kwargs: Any
    ) -> Stream[ChatCompletionChunk]: ...

    @overload
    async def invoke_openai_async(
        self, *, messages: Iterable[Any], stream: Literal[False] = False, **kwargs: Any
    ) -> ChatCompletion: ...

    @overload
    async def invoke_openai_async(self, *, messages: Iterable[Any], stream: bool, **kwargs: Any) -> Completion: ...

    async def invoke_openai_async(self, **kwargs: Any) -> Completion:
        """Talk to the agent here in the OpenAI chat protocol: a completion, or chunks with `stream=True`.

        `messages` and every other parameter of the protocol are keywords; `config` is taken too.
        """
        api = await self._data_api(kwargs.pop("config", None))
        return await api.invoke_openai_async(**kwargs)

    @overload
    def invoke_openai(
        self, *, messages: Iterable[Any], stream: Literal[True], **kwargs: Any
    ) -> Stream[ChatCompletionChunk]: ...

    @overload
    def invoke_openai(
        self, *, messages: Iterable[Any], stream: Literal[False] = False, **kwargs: Any
    ) -> ChatCompletion: ...

    @overload
    def invoke_openai(self, *, messages: Iterable[Any], stream: bool, **kwargs: Any) -> Completion: ...

    def invoke_openai(self, **kwargs: Any) -> Completion:
        """Talk to the agent here in the OpenAI chat protocol: a completion, or chunks with `stream=True`.

        `messages` and every other parameter of the protocol are keywords; `config` is taken too.
        """
        api = run(self._data_api(kwargs.pop("config", None)))
        return api.invoke_openai(**kwargs)

    async def _data_api(self, config: Config | None) -> AgentRuntimeDataAPI:
        settings = self._settings(config)
        name = self.agent_runtime_endpoint_name or DEFAULT_ENDPOINT
        return AgentRuntimeDataAPI(await self._runtime_name(settings), name, settings)

    async def _runtime_name(self, config: Config | None) -> str:
        # Agents are called by the runtime's name, of which an endpoint knows only the id.
        if self._agent_runtime_name is None:
            runtime = await AgentRuntimeControlAPI(config).get_agent_runtime_async(self.agent_runtime_id or "")
            self._agent_runtime_name = str(runtime.get("agentRuntimeName") or "")
        return self._agent_runtime_name
