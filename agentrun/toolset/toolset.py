"""Several tools under one name: the operations of an OpenAPI document, or the tools of an MCP server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from agentrun._core.blocking import run
from agentrun._core.managed import Managed, Operations
from agentrun._core.paging import AsyncLazyList, LazyList
from agentrun.config import Config
from agentrun.errors import ConfigError
from agentrun.status import Status
from agentrun.toolset.callable import HasTools
from agentrun.toolset.control import ToolControlAPI
from agentrun.toolset.engine import Engine, McpEngine, openapi_engines
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

if TYPE_CHECKING:
    from agentrun.toolset.openapi import ApiSet


class ToolSet(Managed[ToolSetCreateInput, ToolSetUpdateInput, ToolSetListInput], HasTools):
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

    def to_apiset(self, config: Config | None = None) -> ApiSet:
        """The tools as an ApiSet, which calls them by name."""
        return self._tools(config).apiset()

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
        engine: Engine = openapi_engines().OpenAPIEngine.of(document or "", base, headers, query, config)
        return engine
