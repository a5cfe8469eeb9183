"""An agent runtime: an agent's code or image, and what the platform runs it with."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, overload

from agentrun._core.blocking import gather, run
from agentrun._core.model import build
from agentrun._core.paging import AsyncLazyList, LazyList, numbered
from agentrun._core.polling import wait_until
from agentrun._core.resource import Resource
from agentrun.agent_runtime._workspace import resolve_workspace_id_by_name_async, resolve_workspace_ids_by_names_async
from agentrun.agent_runtime.control import AgentRuntimeControlAPI
from agentrun.agent_runtime.data import DEFAULT_ENDPOINT, AgentRuntimeDataAPI
from agentrun.agent_runtime.endpoint import AgentRuntimeEndpoint
from agentrun.agent_runtime.model import (
    AgentRuntimeCreateInput,
    AgentRuntimeEndpointCreateInput,
    AgentRuntimeEndpointUpdateInput,
    AgentRuntimeImmutableProps,
    AgentRuntimeListInput,
    AgentRuntimeMutableProps,
    AgentRuntimeSystemProps,
    AgentRuntimeUpdateInput,
    AgentRuntimeVersion,
    AgentRuntimeVersionCreateInput,
    AgentRuntimeVersionListInput,
)
from agentrun.config import Config
from agentrun.errors import ResourceNotExistError

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletion, ChatCompletionChunk

    from agentrun._core.openai import Completion
    from agentrun._core.streams import Stream

# How long the endpoints of a runtime that is being deleted may take to go.
ENDPOINTS_GONE_SECONDS = 300.0


class AgentRuntime(AgentRuntimeMutableProps, AgentRuntimeImmutableProps, AgentRuntimeSystemProps, Resource):
    """An agent runtime of the platform."""

    kind = "AgentRuntime"

    @property
    def label(self) -> str:
        """The runtime's id."""
        return self.agent_runtime_id or ""

    @property
    def title(self) -> str:
        """The runtime's name."""
        return self.agent_runtime_name or self.label

    # The runtime itself, by id

    @classmethod
    async def create_async(
        cls, input: AgentRuntimeCreateInput | None = None, config: Config | None = None, **fields: Any
    ) -> AgentRuntime:
        """Create an agent runtime from an input object or from its fields as keywords; it starts as CREATING.

        Raises ResourceAlreadyExistError when the name is taken.
        """
        wanted = build(AgentRuntimeCreateInput, input, fields)
        if wanted.workspace_name and not wanted.workspace_id:
            workspace_id = await resolve_workspace_id_by_name_async(wanted.workspace_name, config)
            wanted = wanted.model_copy(update={"workspace_id": workspace_id})
        return cls.of(await AgentRuntimeControlAPI(config).create_agent_runtime_async(wanted), config)

    @classmethod
    def create(
        cls, input: AgentRuntimeCreateInput | None = None, config: Config | None = None, **fields: Any
    ) -> AgentRuntime:
        """Create an agent runtime from an input object or from its fields as keywords; it starts as CREATING.

        Raises ResourceAlreadyExistError when the name is taken.
        """
        return run(cls.create_async(input, config, **fields))

    @classmethod
    async def delete_by_id_async(cls, id: str, config: Config | None = None) -> AgentRuntime:
        """Delete an agent runtime and before it its endpoints; returns what it was.

        Raises ResourceNotExistError, and WaitTimeoutError when an endpoint stays for five minutes.
        """
        await cls._delete_endpoints(id, config)
        return cls.of(await AgentRuntimeControlAPI(config).delete_agent_runtime_async(id), config)

    @classmethod
    def delete_by_id(cls, id: str, config: Config | None = None) -> AgentRuntime:
        """Delete an agent runtime and before it its endpoints; returns what it was.

        Raises ResourceNotExistError, and WaitTimeoutError when an endpoint stays for five minutes.
        """
        return run(cls.delete_by_id_async(id, config))

    @classmethod
    async def _delete_endpoints(cls, id: str, config: Config | None) -> None:
        async def remaining() -> list[AgentRuntimeEndpoint]:
            return await AgentRuntimeEndpoint.list_by_id_async(id, config)

        async def remove(endpoint: AgentRuntimeEndpoint) -> None:
            try:
                await endpoint.delete_async(config)
            except ResourceNotExistError:
                return  # Somebody else deleted it, which is as good.

        if not (endpoints := await remaining()):
            return
        await gather(remove(endpoint) for endpoint in endpoints)
        await wait_until(
            remaining,
            lambda found: not found,
            what=f"deleting the endpoints of {cls.kind} {id!r}",
            interval=1.0,
            timeout=ENDPOINTS_GONE_SECONDS,
        )

    @classmethod
    async def update_by_id_async(
        cls, id: str, input: AgentRuntimeUpdateInput | None = None, config: Config | None = None, **fields: Any
    ) -> AgentRuntime:
        """Change an agent runtime; what is not given stays. Raises ResourceNotExistError."""
        api = AgentRuntimeControlAPI(config)
        wanted = build(AgentRuntimeUpdateInput, input, fields)
        if "cpu" not in wanted.model_fields_set:
            current = await api.get_agent_runtime_async(id)
            wanted = wanted.model_copy(update={"cpu": current.get("cpu")})
        return cls.of(await api.update_agent_runtime_async(id, wanted), config)

    @classmethod
    def update_by_id(
        cls, id: str, input: AgentRuntimeUpdateInput | None = None, config: Config | None = None, **fields: Any
    ) -> AgentRuntime:
        """Change an agent runtime; what is not given stays. Raises ResourceNotExistError."""
        return run(cls.update_by_id_async(id, input, config, **fields))

    @classmethod
    async def get_by_id_async(cls, id: str, config: Config | None = None) -> AgentRuntime:
        """Read an agent runtime; raises ResourceNotExistError."""
        return cls.of(await AgentRuntimeControlAPI(config).get_agent_runtime_async(id), config)

    @classmethod
    def get_by_id(cls, id: str, config: Config | None = None) -> AgentRuntime:
        """Read an agent runtime; raises ResourceNotExistError."""
        return run(cls.get_by_id_async(id, config))

    @classmethod
    def list_all_async(
        cls,
        *,
        agent_runtime_name: str | None = None,
        system_tags: str | None = None,
        search_mode: str | None = None,
        status: str | None = None,
        workspace_id: str | None = None,
        workspace_ids: str | None = None,
        workspace_name: str | None = None,
        workspace_names: str | None = None,
        config: Config | None = None,
    ) -> AsyncLazyList[AgentRuntime]:
        """All agent runtimes that match; pages are read as they are looked at.

        The plural filters and `system_tags` are joined by commas; `search_mode` is `prefix` or `exact`.
        """
        filters = AgentRuntimeListInput(
            agent_runtime_name=agent_runtime_name,
            system_tags=system_tags,
            search_mode=search_mode,
            status=status,
            workspace_id=workspace_id,
            workspace_ids=workspace_ids,
            workspace_name=workspace_name,
            workspace_names=workspace_names,
        )
        return AsyncLazyList(cls._pages(filters, config))

    @classmethod
    def list_all(
        cls,
        *,
        agent_runtime_name: str | None = None,
        system_tags: str | None = None,
        search_mode: str | None = None,
        status: str | None = None,
        workspace_id: str | None = None,
        workspace_ids: str | None = None,
        workspace_name: str | None = None,
        workspace_names: str | None = None,
        config: Config | None = None,
    ) -> LazyList[AgentRuntime]:
        """All agent runtimes that match; pages are read as they are looked at.

        The plural filters and `system_tags` are joined by commas; `search_mode` is `prefix` or `exact`.
        """
        filters = AgentRuntimeListInput(
            agent_runtime_name=agent_runtime_name,
            system_tags=system_tags,
            search_mode=search_mode,
            status=status,
            workspace_id=workspace_id,
            workspace_ids=workspace_ids,
            workspace_name=workspace_name,
            workspace_names=workspace_names,
        )
        return LazyList(cls._pages(filters, config))

    @classmethod
    def list_async(cls, config: Config | None = None) -> AsyncLazyList[AgentRuntime]:
        """All agent runtimes; pages are read as they are looked at."""
        return cls.list_all_async(config=config)

    @classmethod
    def list(cls, config: Config | None = None) -> LazyList[AgentRuntime]:
        """All agent runtimes; pages are read as they are looked at."""
        return cls.list_all(config=config)

    @classmethod
    def _pages(cls, filters: AgentRuntimeListInput, config: Config | None) -> AsyncIterator[AgentRuntime]:
        async def page(number: int, size: int) -> Sequence[AgentRuntime]:
            return await cls.page_async(filters.model_copy(update={"page_number": number, "page_size": size}), config)

        return numbered(page, lambda runtime: runtime.agent_runtime_id)

    @classmethod
    async def page_async(cls, asked: AgentRuntimeListInput, config: Config | None = None) -> Sequence[AgentRuntime]:
        """One page of agent runtimes."""
        wanted = await _with_workspace_ids(asked, config)
        answer = await AgentRuntimeControlAPI(config).list_agent_runtimes_async(wanted)
        return [cls.of(item, config) for item in answer.get("items") or ()]

    @classmethod
    def page(cls, asked: AgentRuntimeListInput, config: Config | None = None) -> Sequence[AgentRuntime]:
        """One page of agent runtimes."""
        return run(cls.page_async(asked, config))

    # The runtime itself, as an object

    async def update_async(
        self, input: AgentRuntimeUpdateInput | None = None, config: Config | None = None, **fields: Any
    ) -> AgentRuntime:
        """Change this agent runtime; what is not given stays."""
        wanted = build(AgentRuntimeUpdateInput, input, fields)
        if "cpu" not in wanted.model_fields_set and "cpu" in self.model_fields_set:
            wanted = wanted.model_copy(update={"cpu": self.cpu})
        return self.update_self(await self.update_by_id_async(self.label, wanted, self._settings(config)))

    def update(
        self, input: AgentRuntimeUpdateInput | None = None, config: Config | None = None, **fields: Any
    ) -> AgentRuntime:
        """Change this agent runtime; what is not given stays."""
        return run(self.update_async(input, config, **fields))

    async def get_async(self, config: Config | None = None) -> AgentRuntime:
        """Read this agent runtime again."""
        return self.update_self(await self.get_by_id_async(self.label, self._settings(config)))

    def get(self, config: Config | None = None) -> AgentRuntime:
        """Read this agent runtime again."""
        return run(self.get_async(config))

    async def delete_async(self, config: Config | None = None) -> AgentRuntime:
        """Delete this agent runtime and before it its endpoints."""
        return self.update_self(await self.delete_by_id_async(self.label, self._settings(config)))

    def delete(self, config: Config | None = None) -> AgentRuntime:
        """Delete this agent runtime and before it its endpoints."""
        return run(self.delete_async(config))

    # Its endpoints and versions, by id

    @classmethod
    async def create_endpoint_by_id_async(
        cls,
        agent_runtime_id: str,
        input: AgentRuntimeEndpointCreateInput | None = None,
        config: Config | None = None,
        **fields: Any,
    ) -> AgentRuntimeEndpoint:
        """Create an endpoint; raises ResourceAlreadyExistError when the name is taken."""
        return await AgentRuntimeEndpoint.create_by_id_async(agent_runtime_id, input, config, **fields)

    @classmethod
    def create_endpoint_by_id(
        cls,
        agent_runtime_id: str,
        input: AgentRuntimeEndpointCreateInput | None = None,
        config: Config | None = None,
        **fields: Any,
    ) -> AgentRuntimeEndpoint:
        """Create an endpoint; raises ResourceAlreadyExistError when the name is taken."""
        return run(cls.create_endpoint_by_id_async(agent_runtime_id, input, config, **fields))

    @classmethod
    async def delete_endpoint_by_id_async(
        cls, agent_runtime_id: str, endpoint_id: str, config: Config | None = None
    ) -> AgentRuntimeEndpoint:
        """Delete an endpoint; returns what it was. Raises ResourceNotExistError."""
        return await AgentRuntimeEndpoint.delete_by_id_async(agent_runtime_id, endpoint_id, config)

    @classmethod
    def delete_endpoint_by_id(
        cls, agent_runtime_id: str, endpoint_id: str, config: Config | None = None
    ) -> AgentRuntimeEndpoint:
        """Delete an endpoint; returns what it was. Raises ResourceNotExistError."""
        return run(cls.delete_endpoint_by_id_async(agent_runtime_id, endpoint_id, config))

    @classmethod
    async def update_endpoint_by_id_async(
        cls,
        agent_runtime_id: str,
        endpoint_id: str,
        input: AgentRuntimeEndpointUpdateInput | None = None,
        config: Config | None = None,
        **fields: Any,
    ) -> AgentRuntimeEndpoint:
        """Change an endpoint; what is not given stays. Raises ResourceNotExistError."""
        return await AgentRuntimeEndpoint.update_by_id_async(agent_runtime_id, endpoint_id, input, config, **fields)

    @classmethod
    def update_endpoint_by_id(
        cls,
        agent_runtime_id: str,
        endpoint_id: str,
        input: AgentRuntimeEndpointUpdateInput | None = None,
        config: Config | None = None,
        **fields: Any,
    ) -> AgentRuntimeEndpoint:
        """Change an endpoint; what is not given stays. Raises ResourceNotExistError."""
        return run(cls.update_endpoint_by_id_async(agent_runtime_id, endpoint_id, input, config, **fields))

    @classmethod
    async def get_endpoint_by_id_async(
        cls, agent_runtime_id: str, endpoint_id: str, config: Config | None = None
    ) -> AgentRuntimeEndpoint:
        """Read an endpoint; raises ResourceNotExistError."""
        return await AgentRuntimeEndpoint.get_by_id_async(agent_runtime_id, endpoint_id, config)

    @classmethod
    def get_endpoint_by_id(
        cls, agent_runtime_id: str, endpoint_id: str, config: Config | None = None
    ) -> AgentRuntimeEndpoint:
        """Read an endpoint; raises ResourceNotExistError."""
        return run(cls.get_endpoint_by_id_async(agent_runtime_id, endpoint_id, config))

    @classmethod
    def list_endpoints_by_id_async(
        cls, agent_runtime_id: str, config: Config | None = None
    ) -> AsyncLazyList[AgentRuntimeEndpoint]:
        """All endpoints of an agent runtime; pages are read as they are looked at."""
        return AgentRuntimeEndpoint.list_by_id_async(agent_runtime_id, config)

    @classmethod
    def list_endpoints_by_id(
        cls, agent_runtime_id: str, config: Config | None = None
    ) -> LazyList[AgentRuntimeEndpoint]:
        """All endpoints of an agent runtime; pages are read as they are looked at."""
        return AgentRuntimeEndpoint.list_by_id(agent_runtime_id, config)

    @classmethod
    def list_versions_by_id_async(
        cls, agent_runtime_id: str, config: Config | None = None
    ) -> AsyncLazyList[AgentRuntimeVersion]:
        """All versions of an agent runtime; pages are read as they are looked at."""
        return AsyncLazyList(_versions(agent_runtime_id, config))

    @classmethod
    def list_versions_by_id(cls, agent_runtime_id: str, config: Config | None = None) -> LazyList[AgentRuntimeVersion]:
        """All versions of an agent runtime; pages are read as they are looked at."""
        return LazyList(_versions(agent_runtime_id, config))

    @classmethod
    async def publish_version_by_id_async(
        cls, agent_runtime_id: str, description: str | None = None, config: Config | None = None
    ) -> AgentRuntimeVersion:
        """Publish the present state of an agent runtime as a version."""
        wanted = AgentRuntimeVersionCreateInput(description=description)
        answer = await AgentRuntimeControlAPI(config).publish_runtime_version_async(agent_runtime_id, wanted)
        return AgentRuntimeVersion.from_wire(answer)

    @classmethod
    def publish_version_by_id(
        cls, agent_runtime_id: str, description: str | None = None, config: Config | None = None
    ) -> AgentRuntimeVersion:
        """Publish the present state of an agent runtime as a version."""
        return run(cls.publish_version_by_id_async(agent_runtime_id, description, config))

    # Its endpoints and versions

    async def create_endpoint_async(
        self, input: AgentRuntimeEndpointCreateInput | None = None, config: Config | None = None, **fields: Any
    ) -> AgentRuntimeEndpoint:
        """Create an endpoint; raises ResourceAlreadyExistError when the name is taken."""
        return await self.create_endpoint_by_id_async(self.label, input, self._settings(config), **fields)

    def create_endpoint(
        self, input: AgentRuntimeEndpointCreateInput | None = None, config: Config | None = None, **fields: Any
    ) -> AgentRuntimeEndpoint:
        """Create an endpoint; raises ResourceAlreadyExistError when the name is taken."""
        return run(self.create_endpoint_async(input, config, **fields))

    async def delete_endpoint_async(self, endpoint_id: str, config: Config | None = None) -> AgentRuntimeEndpoint:
        """Delete an endpoint; returns what it was. Raises ResourceNotExistError."""
        return await self.delete_endpoint_by_id_async(self.label, endpoint_id, self._settings(config))

    def delete_endpoint(self, endpoint_id: str, config: Config | None = None) -> AgentRuntimeEndpoint:
        """Delete an endpoint; returns what it was. Raises ResourceNotExistError."""
        return run(self.delete_endpoint_async(endpoint_id, config))

    async def update_endpoint_async(
        self,
        endpoint_id: str,
        endpoint: AgentRuntimeEndpointUpdateInput | None = None,
        config: Config | None = None,
        **fields: Any,
    ) -> AgentRuntimeEndpoint:
        """Change an endpoint; what is not given stays. Raises ResourceNotExistError."""
        settings = self._settings(config)
        return await self.update_endpoint_by_id_async(self.label, endpoint_id, endpoint, settings, **fields)

    def update_endpoint(
        self,
        endpoint_id: str,
        endpoint: AgentRuntimeEndpointUpdateInput | None = None,
        config: Config | None = None,
        **fields: Any,
    ) -> AgentRuntimeEndpoint:
        """Change an endpoint; what is not given stays. Raises ResourceNotExistError."""
        return run(self.update_endpoint_async(endpoint_id, endpoint, config, **fields))

    async def get_endpoint_async(self, endpoint_id: str, config: Config | None = None) -> AgentRuntimeEndpoint:
        """Read an endpoint; raises ResourceNotExistError."""
        return await self.get_endpoint_by_id_async(self.label, endpoint_id, self._settings(config))

    def get_endpoint(self, endpoint_id: str, config: Config | None = None) -> AgentRuntimeEndpoint:
        """Read an endpoint; raises ResourceNotExistError."""
        return run(self.get_endpoint_async(endpoint_id, config))

    def list_endpoints_async(self, config: Config | None = None) -> AsyncLazyList[AgentRuntimeEndpoint]:
        """All endpoints; pages are read as they are looked at."""
        return self.list_endpoints_by_id_async(self.label, self._settings(config))

    def list_endpoints(self, config: Config | None = None) -> LazyList[AgentRuntimeEndpoint]:
        """All endpoints; pages are read as they are looked at."""
        return self.list_endpoints_by_id(self.label, self._settings(config))

    def list_versions_async(self, config: Config | None = None) -> AsyncLazyList[AgentRuntimeVersion]:
        """All versions; pages are read as they are looked at."""
        return self.list_versions_by_id_async(self.label, self._settings(config))

    def list_versions(self, config: Config | None = None) -> LazyList[AgentRuntimeVersion]:
        """All versions; pages are read as they are looked at."""
        return self.list_versions_by_id(self.label, self._settings(config))

    async def publish_version_async(
        self, description: str | None = None, config: Config | None = None
    ) -> AgentRuntimeVersion:
        """Publish the present state as a version."""
        return await self.publish_version_by_id_async(self.label, description, self._settings(config))

    def publish_version(self, description: str | None = None, config: Config | None = None) -> AgentRuntimeVersion:
        """Publish the present state as a version."""
        return run(self.publish_version_async(description, config))

    # The running agent

    def _data_api(self, endpoint_name: str, config: Config | None) -> AgentRuntimeDataAPI:
        return AgentRuntimeDataAPI(self.agent_runtime_name or "", endpoint_name, self._settings(config))

    @overload
    async def invoke_openai_async(
        self,
        agent_runtime_endpoint_name: str = DEFAULT_ENDPOINT,
        *,
        messages: Iterable[Any],
        stream: Literal[True],
        **kwargs: Any,
    ) -> Stream[ChatCompletionChunk]: ...

    @overload
    async def invoke_openai_async(
        self,
        agent_runtime_endpoint_name: str = DEFAULT_ENDPOINT,
        *,
        messages: Iterable[Any],
        stream: Literal[False] = False,
        **kwargs: Any,
    ) -> ChatCompletion: ...

    @overload
    async def invoke_openai_async(
        self,
        agent_runtime_endpoint_name: str = DEFAULT_ENDPOINT,
        *,
        messages: Iterable[Any],
        stream: bool,
        **kwargs: Any,
    ) -> Completion: ...

    async def invoke_openai_async(
        self, agent_runtime_endpoint_name: str = DEFAULT_ENDPOINT, **kwargs: Any
    ) -> Completion:
        """Talk to the agent in the OpenAI chat protocol: a completion, or a stream of chunks with `stream=True`.

        `messages` and every other parameter of the protocol are keywords; `config` is taken too.
        """
        api = self._data_api(agent_runtime_endpoint_name, kwargs.pop("config", None))
        return await api.invoke_openai_async(**kwargs)

    @overload
    def invoke_openai(
        self,
        agent_runtime_endpoint_name: str = DEFAULT_ENDPOINT,
        *,
        messages: Iterable[Any],
        stream: Literal[True],
        **kwargs: Any,
    ) -> Stream[ChatCompletionChunk]: ...

    @overload
    def invoke_openai(
        self,
        agent_runtime_endpoint_name: str = DEFAULT_ENDPOINT,
        *,
        messages: Iterable[Any],
        stream: Literal[False] = False,
        **kwargs: Any,
    ) -> ChatCompletion: ...

    @overload
    def invoke_openai(
        self,
        agent_runtime_endpoint_name: str = DEFAULT_ENDPOINT,
        *,
        messages: Iterable[Any],
        stream: bool,
        **kwargs: Any,
    ) -> Completion: ...

    def invoke_openai(self, agent_runtime_endpoint_name: str = DEFAULT_ENDPOINT, **kwargs: Any) -> Completion:
        """Talk to the agent in the OpenAI chat protocol: a completion, or a stream of chunks with `stream=True`.

        `messages` and every other parameter of the protocol are keywords; `config` is taken too.
        """
        api = self._data_api(agent_runtime_endpoint_name, kwargs.pop("config", None))
        return api.invoke_openai(**kwargs)

    async def invoke_async(
        self,
        path: str,
        method: str = "POST",
        json: Any = None,
        stream: bool = False,
        query: Mapping[str, Any] | None = None,
        agent_runtime_endpoint_name: str = DEFAULT_ENDPOINT,
        config: Config | None = None,
    ) -> Any:
        """Call any route of the agent, such as `/ag-ui/agent`.

        Returns the body, parsed when it is JSON; with `stream` a Stream of the data of its server-sent events.
        """
        return await self._data_api(agent_runtime_endpoint_name, config).invoke_async(path, method, json, stream, query)

    def invoke(
        self,
        path: str,
        method: str = "POST",
        json: Any = None,
        stream: bool = False,
        query: Mapping[str, Any] | None = None,
        agent_runtime_endpoint_name: str = DEFAULT_ENDPOINT,
        config: Config | None = None,
    ) -> Any:
        """Call any route of the agent, such as `/ag-ui/agent`.

        Returns the body, parsed when it is JSON; with `stream` a Stream of the data of its server-sent events.
        """
        return run(self.invoke_async(path, method, json, stream, query, agent_runtime_endpoint_name, config))

    async def logs_async(
        self,
        tail: int = 100,
        agent_runtime_endpoint_name: str = DEFAULT_ENDPOINT,
        config: Config | None = None,
    ) -> Sequence[str]:
        """The last lines that the agent wrote; only the emulator has them at hand.

        Raises UnsupportedError on the cloud, which keeps logs in the project of `log_configuration`.
        """
        return await self._data_api(agent_runtime_endpoint_name, config).logs_async(tail)

    def logs(
        self,
        tail: int = 100,
        agent_runtime_endpoint_name: str = DEFAULT_ENDPOINT,
        config: Config | None = None,
    ) -> Sequence[str]:
        """The last lines that the agent wrote; only the emulator has them at hand.

        Raises UnsupportedError on the cloud, which keeps logs in the project of `log_configuration`.
        """
        return run(self.logs_async(tail, agent_runtime_endpoint_name, config))


def _versions(agent_runtime_id: str, config: Config | None) -> AsyncIterator[AgentRuntimeVersion]:
    async def page(number: int, size: int) -> Sequence[AgentRuntimeVersion]:
        asked = AgentRuntimeVersionListInput(page_number=number, page_size=size)
        answer = await AgentRuntimeControlAPI(config).list_agent_runtime_versions_async(agent_runtime_id, asked)
        return [AgentRuntimeVersion.from_wire(item) for item in answer.get("items") or ()]

    return numbered(page, lambda version: version.agent_runtime_version)


async def _with_workspace_ids(asked: AgentRuntimeListInput, config: Config | None) -> AgentRuntimeListInput:
    """The same question with workspaces by id, as the service understands it."""
    changes: dict[str, Any] = {"workspace_name": None, "workspace_names": None}
    if asked.workspace_name:
        changes["workspace_id"] = await resolve_workspace_id_by_name_async(asked.workspace_name, config)
    if asked.workspace_names:
        changes["workspace_ids"] = await resolve_workspace_ids_by_names_async(asked.workspace_names, config)
    return asked.model_copy(update=changes)
