"""Several tools under one name: the operations of an OpenAPI document, or the tools of an MCP server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import PrivateAttr

from agentrun._core.blocking import run
from agentrun._core.closing import Closing
from agentrun._core.managed import Managed, Operations
from agentrun._core.paging import AsyncLazyList, LazyList
from agentrun.config import Config
from agentrun.errors import ConfigError
from agentrun.status import Status
from agentrun.toolset.control import ToolControlAPI
from agentrun.toolset.engine import Engine, Engines, McpEngine, OpenAPIEngine
from agentrun.toolset.model import (
    MCPServerConfig,
    SchemaType,
    ToolSetCreateInput,
    ToolSetListInput,
    ToolSetSpec,
    ToolSetStatus,
    ToolSetStatusOutputs,
    ToolSetStatusOutputsUrls,
    ToolSetUpdateInput,
    headers_and_query,
)
from agentrun.toolset.openapi import ApiSet, OpenAPI
from agentrun.toolset.schema import ToolDefinition, ToolInfo


class ToolSet(Managed[ToolSetCreateInput, ToolSetUpdateInput, ToolSetListInput], Closing):
    """A tool set of the platform; what calls need, such as the session with an MCP server, is kept until `close`."""

    kind = "ToolSet"
    operations = Operations(
        ToolControlAPI,
        ToolSetCreateInput,
        ToolSetUpdateInput,
        ToolControlAPI.create_toolset_async,
        ToolControlAPI.get_toolset_async,
        ToolControlAPI.update_toolset_async,
        ToolControlAPI.delete_toolset_async,
        ToolControlAPI.list_toolsets_async,
    )

    created_time: str | None = None
    description: str | None = None
    generation: int | None = None
    # The service's word for what it is; the class variable of the same meaning is ours.
    labels: dict[str, str] | None = None
    name: str | None = None
    spec: ToolSetSpec | None = None
    # The service tells more than a word.
    status: ToolSetStatus | None = None  # type: ignore[assignment]
    uid: str | None = None
    _engines: Engines = PrivateAttr(default_factory=Engines)

    @property
    def label(self) -> str:
        """The tool set's name."""
        return self.name or ""

    @property
    def state(self) -> Status | str | None:
        """How far the service is."""
        return self.status.phase if self.status else None

    @classmethod
    def _items(cls, answer: dict[str, Any]) -> Sequence[Any]:
        return answer.get("data") or ()

    # By name

    @classmethod
    async def get_by_name_async(cls, name: str, config: Config | None = None) -> ToolSet:
        """Read a tool set; raises ResourceNotExistError."""
        return await cls._read(name, config)

    @classmethod
    def get_by_name(cls, name: str, config: Config | None = None) -> ToolSet:
        """Read a tool set; raises ResourceNotExistError."""
        return run(cls.get_by_name_async(name, config))

    @classmethod
    async def update_by_name_async(
        cls, name: str, input: ToolSetUpdateInput | None = None, config: Config | None = None, **fields: Any
    ) -> ToolSet:
        """Change a tool set; what is not given stays. Raises ResourceNotExistError."""
        return await cls._change(name, input, config, fields)

    @classmethod
    def update_by_name(
        cls, name: str, input: ToolSetUpdateInput | None = None, config: Config | None = None, **fields: Any
    ) -> ToolSet:
        """Change a tool set; what is not given stays. Raises ResourceNotExistError."""
        return run(cls.update_by_name_async(name, input, config, **fields))

    @classmethod
    async def delete_by_name_async(cls, name: str, config: Config | None = None) -> ToolSet:
        """Delete a tool set; returns what it was. Raises ResourceNotExistError."""
        return await cls._remove(name, config)

    @classmethod
    def delete_by_name(cls, name: str, config: Config | None = None) -> ToolSet:
        """Delete a tool set; returns what it was. Raises ResourceNotExistError."""
        return run(cls.delete_by_name_async(name, config))

    @classmethod
    def list_all_async(
        cls, *, keyword: str | None = None, label_selector: list[str] | None = None, config: Config | None = None
    ) -> AsyncLazyList[ToolSet]:
        """All tool sets that match; pages are read as they are looked at."""
        return AsyncLazyList(cls._pages(ToolSetListInput(keyword=keyword, label_selector=label_selector), config))

    @classmethod
    def list_all(
        cls, *, keyword: str | None = None, label_selector: list[str] | None = None, config: Config | None = None
    ) -> LazyList[ToolSet]:
        """All tool sets that match; pages are read as they are looked at."""
        return LazyList(cls._pages(ToolSetListInput(keyword=keyword, label_selector=label_selector), config))

    async def publish_async(self, config: Config | None = None) -> ToolSet:
        """Make what was changed last what callers get."""
        settings = self._settings(config)
        return self.update_self(self.of(await ToolControlAPI(settings).publish_toolset_async(self.label), settings))

    def publish(self, config: Config | None = None) -> ToolSet:
        """Make what was changed last what callers get."""
        return run(self.publish_async(config))

    # Its tools

    def type(self) -> SchemaType:
        """What describes the tools; raises ConfigError when nothing does."""
        schema = self.spec.tool_schema if self.spec else None
        if schema is None or schema.type is None:
            raise ConfigError(f"tool set {self.label!r} has no schema", hint="Create it with a spec that has one")
        return SchemaType(schema.type)

    async def definitions_async(self, config: Config | None = None, *, refresh: bool = False) -> list[ToolDefinition]:
        """The tools as they are, for those who have many."""
        return await self._tools(config).definitions(refresh=refresh)

    def definitions(self, config: Config | None = None, *, refresh: bool = False) -> list[ToolDefinition]:
        """The tools as they are, for those who have many."""
        return run(self.definitions_async(config, refresh=refresh))

    async def list_tools_async(self, config: Config | None = None) -> list[ToolInfo]:
        """The tools, with the schemas of their arguments."""
        return [ToolInfo.from_definition(each) for each in await self.definitions_async(config)]

    def list_tools(self, config: Config | None = None) -> list[ToolInfo]:
        """The tools, with the schemas of their arguments."""
        return run(self.list_tools_async(config))

    async def call_tool_async(
        self, name: str, arguments: Mapping[str, Any] | None = None, config: Config | None = None
    ) -> Any:
        """Call a tool: the answer of an API with its status, or the result of an MCP tool.

        An error that the tool reports is such a result. Raises InvalidInputError, which names the argument that is
        wrong, and TransportError when the tool cannot be reached.
        """
        return await self._tools(config).call(name, arguments or {})

    def call_tool(self, name: str, arguments: Mapping[str, Any] | None = None, config: Config | None = None) -> Any:
        """Call a tool: the answer of an API with its status, or the result of an MCP tool.

        An error that the tool reports is such a result. Raises InvalidInputError, which names the argument that is
        wrong, and TransportError when the tool cannot be reached.
        """
        return run(self.call_tool_async(name, arguments, config))

    def to_apiset(self, config: Config | None = None) -> ApiSet:
        """The tools as an ApiSet, which calls them by name."""
        return self._tools(config).apiset()

    async def close_async(self) -> None:
        """End the session with an MCP server; calling it twice is allowed, and a later call begins a new one."""
        await self._engines.close_async()

    def _tools(self, config: Config | None) -> Engine:
        return self._engines.of(self._settings(config), self._engine)

    def _engine(self, config: Config | None) -> Engine:
        headers, query = headers_and_query(self.spec.auth_config if self.spec else None)
        outputs = (self.status.outputs if self.status else None) or ToolSetStatusOutputs()
        if self.type() == SchemaType.MCP:
            server = outputs.mcp_server_config or MCPServerConfig()
            if not server.url:
                raise ConfigError(f"tool set {self.label!r} has no MCP server yet", hint="Wait until it is ready")
            transport = server.transport_type or server.transport or "sse"
            return McpEngine(server.url, transport, {**(server.headers or {}), **headers}, config)
        urls = outputs.urls or ToolSetStatusOutputsUrls()
        document = self.spec.tool_schema.detail if self.spec and self.spec.tool_schema else None
        base = urls.internet_url or urls.intranet_url
        return OpenAPIEngine(OpenAPI(document or "", base, headers, query, config))
