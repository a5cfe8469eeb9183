"""A tool of the platform: an MCP server, an API that is called as functions, or a skill."""

from __future__ import annotations

from typing import Any

from agentrun._core.blocking import run
from agentrun._core.managed import Managed, Operations
from agentrun._core.paging import AsyncLazyList, LazyList
from agentrun.config import Config
from agentrun.errors import ConfigError, InvalidInputError
from agentrun.tool.control import ToolControlAPI
from agentrun.tool.data import ToolDataAPI, ToolLogAPI
from agentrun.tool.model import (
    SessionAffinity,
    ToolCreateInput,
    ToolCreateMethod,
    ToolListInput,
    ToolProps,
    ToolType,
    ToolUpdateInput,
    only_server,
)
from agentrun.tool.skills import SKILLS, save_skill
from agentrun.toolset.callable import HasTools
from agentrun.toolset.engine import Engine, McpEngine, openapi_engines


class Tool(Managed[ToolCreateInput, ToolUpdateInput, ToolListInput], ToolProps, HasTools):
    """A tool of the platform; what calls need, such as the session with an MCP server, is kept until `close`."""

    kind = "Tool"
    operations = Operations(
        ToolControlAPI,
        ToolCreateInput,
        ToolUpdateInput,
        ToolControlAPI.create_tool_async,
        ToolControlAPI.get_tool_async,
        ToolControlAPI.update_tool_async,
        ToolControlAPI.delete_tool_async,
        ToolControlAPI.list_tools_async,
    )

    tool_id: str | None = None
    tool_name: str | None = None
    tool_type: ToolType | str | None = None
    create_method: ToolCreateMethod | str | None = None
    created_at: str | None = None
    updated_at: str | None = None
    status_reason: str | None = None

    @property
    def label(self) -> str:
        """The tool's name."""
        return self.tool_name or ""

    # The official client's names for what the service calls otherwise.

    @property
    def name(self) -> str | None:
        """The tool's name."""
        return self.tool_name

    @property
    def created_time(self) -> str | None:
        """When the tool was created."""
        return self.created_at

    @property
    def last_modified_time(self) -> str | None:
        """When the tool was last changed."""
        return self.updated_at

    # By name

    @classmethod
    async def get_by_name_async(cls, name: str, config: Config | None = None) -> Tool:
        """Read a tool; raises ResourceNotExistError."""
        return await cls._read(name, config)

    @classmethod
    def get_by_name(cls, name: str, config: Config | None = None) -> Tool:
        """Read a tool; raises ResourceNotExistError."""
        return run(cls.get_by_name_async(name, config))

    @classmethod
    async def update_by_name_async(
        cls, name: str, input: ToolUpdateInput | None = None, config: Config | None = None, **fields: Any
    ) -> Tool:
        """Change a tool; what is not given stays. Raises ResourceNotExistError."""
        return await cls._change(name, input, config, fields)

    @classmethod
    def update_by_name(
        cls, name: str, input: ToolUpdateInput | None = None, config: Config | None = None, **fields: Any
    ) -> Tool:
        """Change a tool; what is not given stays. Raises ResourceNotExistError."""
        return run(cls.update_by_name_async(name, input, config, **fields))

    @classmethod
    async def delete_by_name_async(cls, name: str, config: Config | None = None) -> Tool:
        """Delete a tool; returns what it was. Raises ResourceNotExistError."""
        return await cls._remove(name, config)

    @classmethod
    def delete_by_name(cls, name: str, config: Config | None = None) -> Tool:
        """Delete a tool; returns what it was. Raises ResourceNotExistError."""
        return run(cls.delete_by_name_async(name, config))

    @classmethod
    def list_all_async(
        cls, *, tool_name: str | None = None, tool_type: ToolType | None = None, config: Config | None = None
    ) -> AsyncLazyList[Tool]:
        """All tools that match; pages are read as they are looked at."""
        return AsyncLazyList(cls._pages(ToolListInput(tool_name=tool_name, tool_type=tool_type), config))

    @classmethod
    def list_all(
        cls, *, tool_name: str | None = None, tool_type: ToolType | None = None, config: Config | None = None
    ) -> LazyList[Tool]:
        """All tools that match; pages are read as they are looked at."""
        return LazyList(cls._pages(ToolListInput(tool_name=tool_name, tool_type=tool_type), config))

    # What it offers

    async def download_skill_async(self, target_dir: str = SKILLS, config: Config | None = None) -> str:
        """Fetch a skill and unpack it into a folder of its name below `target_dir`; returns that folder's path.

        What was there is replaced once the new one is whole. Raises InvalidInputError when the tool is no skill.
        """
        if self.tool_type != ToolType.SKILL:
            raise InvalidInputError(f"tool {self.label!r} is no skill but {self.tool_type}", field="tool_type")
        return await save_skill(self._data_api(self._settings(config)), self.label, target_dir)

    def download_skill(self, target_dir: str = SKILLS, config: Config | None = None) -> str:
        """Fetch a skill and unpack it into a folder of its name below `target_dir`; returns that folder's path.

        What was there is replaced once the new one is whole. Raises InvalidInputError when the tool is no skill.
        """
        return run(self.download_skill_async(target_dir, config))

    async def logs_async(self, tail: int = 100, config: Config | None = None) -> list[str]:
        """The last lines that the server of a tool wrote; an extension of the local platform: UnsupportedError."""
        return await ToolLogAPI(self.label, self._settings(config)).read_async(tail)

    def logs(self, tail: int = 100, config: Config | None = None) -> list[str]:
        """The last lines that the server of a tool wrote; an extension of the local platform: UnsupportedError."""
        return run(self.logs_async(tail, config))

    def _engine(self, config: Config | None) -> Engine:
        if self.tool_type == ToolType.MCP:
            return self._mcp(config)
        if self.tool_type == ToolType.FUNCTIONCALL:
            document, with_credential = self.protocol_spec or "", bool(self.credential_name)
            engine: Engine = openapi_engines().OpenAPIEngine.of_tool(
                document, self._data_api(config), config, with_credential=with_credential
            )
            return engine
        raise InvalidInputError(
            f"tool {self.label!r} is of type {self.tool_type} and cannot be called",
            field="tool_type",
            hint="Skills are used with download_skill or skill_tools",
        )

    def _mcp(self, config: Config | None) -> Engine:
        served = self.mcp_config
        affinity = (served.session_affinity if served else None) or ""
        if self.create_method == ToolCreateMethod.MCP_REMOTE and not (served and served.proxy_enabled):
            server = only_server(self.protocol_spec)
            if not server.get("url"):
                raise ConfigError(f"tool {self.label!r} names no URL", hint="Its protocol_spec needs mcpServers")
            transport = str(server.get("transportType") or server.get("type") or affinity)
            return McpEngine(str(server["url"]), transport, server.get("headers") or {}, config)
        transport = "mcp" if affinity == SessionAffinity.STREAMABLE else "sse"
        return McpEngine(self._data_api(config).url(f"/{transport}"), transport, {}, config)

    def _data_api(self, config: Config | None) -> ToolDataAPI:
        return ToolDataAPI(self.label, config)
